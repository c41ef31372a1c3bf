"""The counts of one item in one group, and the failures that are kept to be shown."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.model.clusters import ClusterCounts
from stress.model.hand_overs import HandOverCounts
from stress.model.verdict import WRONG_VALUE_NAMES
from stress.model.verdict import Verdict
from stress.model.verdict import worst
from stress.record.aggregate.groups import Group

FAILURE_NAME_CHARS_MAX = 160
FINDINGS_KEPT = 3
TEXT_CHARS_KEPT = 2_000
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:e[+-]?\d+)?")
_THREADS = re.compile(r"-?t\d+\]$")


@dataclass
class Failure:
    """One failed attempt, with what is needed to show and to repeat it."""

    name: str
    """Signature, or a name made from the findings or headline of a failure without one."""
    is_known: bool
    """Whether the name is a signature of `results/known`."""
    group: Group
    run: str
    folder: Path
    file: str
    line: int
    start: dict[str, Any]
    end: dict[str, Any]

    @property
    def verdict(self) -> str:
        return str(self.end["verdict"])


@dataclass
class Processes:
    """The processes of one item's attempts, as far as another attempt of it may still come there."""

    _served: set[int] = field(default_factory=set)
    _fresh: int = 0
    """Hashes of (run, process): of those that served several attempts, and of the last one that was fresh."""

    def has_another(self, record: Mapping[str, Any]) -> bool:
        """Take in the end of an attempt; return whether another one of its item counts in that process already."""
        if record["role"] != "crew" or not Verdict(record["verdict"]).enters_rate:
            return False
        key = hash((record.get("run"), record.get("process", 0)))
        # Nearly all are fresh, where processes are forked: only the last one can still get another attempt.
        if not record.get("age", 0):
            self._fresh = key
            return False
        known = key == self._fresh or key in self._served
        self._served.add(key)
        return known


@dataclass
class Cell:
    """One item in one group."""

    group: Group
    item: str
    threads: int
    """0 where no attempt of the crew was started."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """Of the crew's attempts; controls and references are counted apart."""
    controls: Counter[str] = field(default_factory=Counter)
    references: Counter[str] = field(default_factory=Counter)
    names: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(verdict, name of the failure) -> attempts."""
    seen: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Name of a failure -> when it was seen first and last."""
    known: set[str] = field(default_factory=set)
    signals: set[str] = field(default_factory=set)
    """Names of the signals that attempts of the crew crashed with."""
    by_run: dict[str, list[int]] = field(default_factory=dict)
    """Run -> [attempts that count, failures among them]."""
    shared: int = 0
    """Attempts that count and ran in a process that had run another one of this item which does."""
    fresh: Counter[str] = field(default_factory=Counter)
    """Failures that were run again in fresh processes; they enter no rate, since a failure chose them."""
    processes: Processes = field(default_factory=Processes)
    outcomes: ClusterCounts = field(default_factory=ClusterCounts)
    """In the order of the records, as they ended first: an amended one stays what it was."""
    hand_overs: HandOverCounts = field(default_factory=HandOverCounts)
    seconds: float = 0.0
    unfinished: int = 0
    is_canary: bool = False
    origin: tuple[str, ...] = ()
    acceptable: dict[str, str] = field(default_factory=dict)
    notes: set[str] = field(default_factory=set)
    shared_writes: str = ""
    """What steps write and all threads share, as the reference found it, in a sentence."""

    @property
    def scenario(self) -> str:
        """Return the item's name without its thread count: `scenarios/linear.py::SharedLinear[float32]`."""
        return scenario_of(self.item)

    @property
    def attempts(self) -> int:
        return self.verdicts.total()

    @property
    def counted_attempts(self) -> int:
        return sum(n for verdict, n in self.verdicts.items() if Verdict(verdict).enters_rate)

    @property
    def counted(self) -> int:
        """Return the attempts that count, those of one process once: they share its caches and its fate.

        A process ends with its first failure, so that none is left out.
        """
        return self.counted_attempts - self.shared

    @property
    def failures(self) -> int:
        return failures_in(self.verdicts)

    @property
    def control_counted(self) -> int:
        return sum(n for verdict, n in self.controls.items() if Verdict(verdict).enters_rate)

    @property
    def control_failures(self) -> int:
        return failures_in(self.controls)

    @property
    def verdict(self) -> Verdict | None:
        """Return the worst verdict of any attempt; None where none ended."""
        seen = [Verdict(one) for one in self.verdicts] or [Verdict(one) for one in self.references]
        return worst(seen) if seen else None

    @property
    def is_accepted(self) -> bool:
        """Whether the scenario declared every verdict that is not green acceptable."""
        return all(Verdict(one).is_green or one in self.acceptable for one in self.verdicts)


def failures_in(verdicts: Mapping[str, int]) -> int:
    return sum(n for verdict, n in verdicts.items() if Verdict(verdict).is_failure)


def totals(cells: Iterable[Cell]) -> tuple[int, int]:
    """Return (failures, counted) over cells; of one group, or the sum means nothing."""
    failures = counted = 0
    for cell in cells:
        failures += cell.failures
        counted += cell.counted
    return failures, counted


def scenario_of(item: str) -> str:
    """Return an item's name without its thread count."""
    cut = _THREADS.search(item)
    if cut is None:
        return item
    head = item[: cut.start()]
    return head.removesuffix("[") if head.endswith("[") else f"{head}]"


def failure_name(end: Mapping[str, Any]) -> tuple[str, bool]:
    """Return (the name of a failed attempt's failure, whether it is a known signature).

    Without a signature: the most specific name of its findings, else the headline without its numbers, so that
    the same failure has the same name in every attempt. Only one name, because the others beside it vary by chance.
    """
    signature = end.get("signature")
    if isinstance(signature, str) and signature:
        return signature[:FAILURE_NAME_CHARS_MAX], True
    findings = [
        one.get("name")
        for one in end.get("findings") or ()
        if one.get("verdict", "mismatch") == end["verdict"]
    ]
    names = {one for one in findings if isinstance(one, str) and one}
    if names:
        return f"{end['verdict']}: {min(names, key=_told_before)}"[:FAILURE_NAME_CHARS_MAX], False
    headline = _NUMBER.sub("#", " ".join(str(end["headline"]).split()))
    told = headline or str(end.get("signal") or "no text")
    return f"{end['verdict']}: {told}"[:FAILURE_NAME_CHARS_MAX], False


def _told_before(name: str) -> tuple[int, str]:
    """Sort names of findings: a scenario's or a harness's own names first, then those of wrong values."""
    return (WRONG_VALUE_NAMES.index(name) if name in WRONG_VALUE_NAMES else -1, name)


def kept_start(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of an `attempt_start`."""
    names = (
        "attempt",
        "serial",
        "role",
        "scenario",
        "threads",
        "iterations",
        "seed",
        "command",
        "perturb",
        "readback",
        "completion",
    )
    return {name: _cut(record[name]) for name in names if name in record}


def kept_end(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of an `attempt_end`, shortened."""
    names = ("verdict", "headline", "exit_status", "signal", "signature", "tainted", "stderr", "stacks", "amends", "seconds", "device_order")  # fmt: skip
    kept = {name: _cut(record[name]) for name in names if record.get(name) is not None}
    kept["findings"] = [_flat(one) for one in (record.get("findings") or [])[:FINDINGS_KEPT]]
    kept["findings_total"] = len(record.get("findings") or [])
    kept["stamps"] = [_flat(one) for one in (record.get("stamps") or [])[:64]]
    kept["notes"] = [_cut(one) for one in (record.get("notes") or [])[:8]]
    kept["reports"] = list(record.get("reports") or [])[:4]
    return kept


def _flat(data: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_flat_items(data))


def _flat_items(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in list(data.items())[:24]:
        if value is None or isinstance(value, str | int | float):
            yield name[:80], _cut(value)
        elif (
            isinstance(value, list) and len(value) <= 8 and all(isinstance(one, int | float) for one in value)
        ):
            yield name[:80], value


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > TEXT_CHARS_KEPT:
        return f"{value[:TEXT_CHARS_KEPT]}... [{len(value)} characters]"
    return value
