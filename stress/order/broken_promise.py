"""An order that a device promised and did not keep: its own bug, whatever the values are."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

PROMISES = {
    "wait": "a stream waits for an event",
    "synchronize": "the host waits for the device",
    "stream": "the work of one thread on one stream runs in order",
    "reuse": "memory that is given out again",
    "owner": "one owner at a time",
    "scratch": "a buffer of the device's own",
    "source": "the source of a copy that does not block",
    "graph": "a compiled graph that work runs",
}
"""What may be promised, and how each is called in a report."""
_HAZARDS = {
    "RAW": ("read", "write"),
    "WAR": ("write", "read"),
    "WAW": ("write", "write"),
    "": ("later", "earlier"),
}
_TEXTS = ("promise", "hazard", "op", "where", "prior", "prior_where", "memory", "promised", "kept")


@dataclass(frozen=True)
class BrokenPromise:
    """Two pieces of work, or a wait and what it was to wait for, that nothing on the device put in the promised order."""

    promise: str
    hazard: str
    """Empty where no bytes are concerned."""
    op: str
    where: str
    prior: str
    prior_where: str
    memory: str
    promised: str
    kept: str
    count: int = 1
    """How often in the attempt."""

    @classmethod
    def from_line(cls, line: str) -> BrokenPromise:
        """Read a line of the simulated device; raise `ValueError` for anything else."""
        fields = line.split("\t")
        if (
            len(fields) != len(_TEXTS) + 1
            or fields[0] not in PROMISES
            or fields[1] not in _HAZARDS
            or not fields[9].isdigit()
        ):
            raise ValueError(f"no broken promise: {line!r:.80}")
        *texts, count = fields
        return cls(**dict(zip(_TEXTS, texts, strict=True)), count=int(count))

    @property
    def signature(self) -> str:
        """Return the stable last line."""
        return f"promise={self.promise} hazard={self.hazard or 'none'} op={self.op} prior={self.prior}"

    @property
    def name(self) -> str:
        """Return what failures of this kind have in common."""
        return f"unkept/{self.promise}"

    @property
    def text(self) -> str:
        """Return the whole report but its first word, in lines."""
        words, names, width = _HAZARDS[self.hazard], (self.op, self.prior), max(len(self.op), len(self.prior))
        sides = [
            f"  {word:7}  {name:{width}}  {where}"
            for word, name, where in zip(words, names, (self.where, self.prior_where), strict=True)
        ]
        title = f"{PROMISES[self.promise]}: {self.memory or self.promised}"
        often = f", {self.count} times" if self.count > 1 else ""
        return "\n".join(
            [
                title + often,
                *sides,
                f"  promised      {self.promised}",
                f"  kept          {self.kept}",
                "  owner         the device: the program did what orders the two",
                f"  {self.signature}",
            ]
        )

    def to_data(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> BrokenPromise:
        """Read what `to_data` wrote; raise `ValueError` for anything else."""
        try:
            one = cls(**data)
            one.text  # noqa: B018
        except (TypeError, KeyError) as error:
            raise ValueError(f"no broken promise: {error}") from None
        return one


def most_telling_first(found: list[BrokenPromise]) -> list[BrokenPromise]:
    """Return them with those first that name bytes: what follows from a first one names only positions."""
    return sorted(found, key=lambda one: not one.memory)
