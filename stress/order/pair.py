"""An order finding: two accesses of the same bytes, one of them a write, neither of which comes before the other."""

from __future__ import annotations

import os
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

from stress.order.clocks import Edge
from stress.order.clocks import Site

KINDS = {
    "stream-stream": "stream against stream",
    "stream-host": "stream against host",
    "host-host": "thread against thread",
    "reuse": "freed memory that was given out again",
    "order-only": "launched by two threads without an order",
    "generator": "random state, two threads without an order",
    "metadata": "what a tensor is, two threads without an order",
}
"""Kinds of findings, and how each is called in a report."""
_HAZARDS = {"RAW": "read after write", "WAR": "write after read", "WAW": "write after write"}


@dataclass(frozen=True)
class PairSide:
    """One of the two accesses."""

    op: str
    argument: str
    where: str
    """Stream, thread and iteration."""
    line: str
    """The author's, as FILE:LINE; empty where there was none on the stack."""
    file: str = ""
    number: int = 0


@dataclass(frozen=True)
class UnorderedPair:
    """The finding, as it is shown and kept."""

    hazard: str
    kind: str
    device: str
    memory: str
    """Which bytes of what, in words."""
    later: PairSide
    earlier: PairSide
    known: str
    remedy: str

    @property
    def signature(self) -> str:
        """Return the stable last line, which deduplication and suppressions read."""
        return (
            f"hazard={self.hazard} kind={self.kind} op={_op(self.later)} prior={_op(self.earlier)} "
            f"device={self.device}"
        )

    @property
    def name(self) -> str:
        """Return what failures of this kind have in common, as a signature of attempts and items."""
        return f"order/{self.kind} {_op(self.later)} <> {_op(self.earlier)}"

    @property
    def title(self) -> str:
        return f"{_HAZARDS[self.hazard]}, {KINDS[self.kind]}: {self.memory}"

    @property
    def text(self) -> str:
        """Return the whole report but its first word, in lines."""
        later, earlier = ("read", "write") if self.hazard == "RAW" else ("write", _EARLIER[self.hazard])
        rows = [(later, self.later), (earlier, self.earlier)]
        names = [_op(side) for _, side in rows]
        width, place = max(map(len, names)), max(len(side.where) for _, side in rows)
        lines = [
            f"  {word:5}  {name:{width}}  {side.where:{place}}  {side.line}".rstrip()
            for (word, side), name in zip(rows, names, strict=True)
        ]
        return "\n".join(
            [
                self.title,
                *lines,
                f"  known order   {self.known}",
                f"  would do      {self.remedy}",
                f"  {self.signature}",
            ]
        )

    def to_data(self) -> dict[str, Any]:
        return asdict(self) | {"signature": self.signature, "name": self.name}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> UnorderedPair:
        """Read what `to_data` wrote; raise `ValueError` for anything else."""
        try:
            own = {name: value for name, value in data.items() if name not in ("signature", "name")}
            one = cls(**{**own, "later": PairSide(**own["later"]), "earlier": PairSide(**own["earlier"])})
            one.text  # noqa: B018
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no order finding: {error}") from None
        return one


_EARLIER = {"WAR": "read", "WAW": "write"}


def _op(side: PairSide) -> str:
    return f"{side.op}({side.argument})" if side.argument else side.op


def line_of(site: Site | None) -> str:
    """Return FILE:LINE, relative to the working folder where the file is below it."""
    if site is None:
        return ""
    inside = (
        os.path.relpath(site.file)
        if site.file.startswith(os.getcwd() + os.sep)
        else os.path.basename(site.file)
    )
    return f"{inside}:{site.line}"


def known_order(later: str, earlier: str, epoch: int, seen: int, edge: Edge | None, word: str) -> str:
    """Return in a sentence what is known about the order of the two."""
    if not seen:
        return f"{later} has never waited for {earlier}; the {word} is operation {epoch} there"
    how = f" ({edge.what}{' at ' + line_of(edge.site) if edge.site else ''})" if edge is not None else ""
    return f"{later} has seen {earlier} up to its operation {seen}{how}; the {word} is operation {epoch}"


def remedy(kind: str, earlier: PairSide, later: PairSide, earlier_agent: str) -> str:
    """Return in a sentence what would order the two."""
    after = f"after {earlier.line or _op(earlier)}"
    before = f"before {later.line or _op(later)}"
    if kind == "stream-stream":
        return f"record an event {after} and wait for it {before}"
    if kind == "stream-host":
        return f"synchronize {earlier_agent}, or an event recorded {after}, {before}"
    if kind == "reuse":
        return f"call record_stream({earlier_agent}) on the tensor before it is freed, or wait for {earlier_agent} first"
    if kind == "generator":
        return f"give each thread a generator of its own, or decide which draws first: {after} and {before}"
    if kind == "host-host":
        return f"hand over by a lock, queue or join: {after} and {before}"
    return f"decide which thread comes first: a barrier, queue or join {after} and {before}"
