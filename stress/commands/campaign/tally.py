"""Counts of a campaign so far, from its records: those being written now, and those of a killed process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from stress.commands.campaign.allocation import Standing
from stress.model.clusters import ClusterCounts
from stress.model.verdict import Verdict
from stress.record.aggregate.cells import Processes
from stress.record.aggregate.cells import failure_name
from stress.record.aggregate.cells import scenario_of

IDLE_TURNS_MAX = 3
"""Turns without an attempt that counts, after which an item is set aside."""
NAMES_MAX = 200


@dataclass
class Arm:
    """One item."""

    item: str
    is_canary: bool = False
    acceptable: Collection[str] = ()
    """Verdicts that the scenario declares to be fine."""
    seconds: float = 0.0
    turns: int = 0
    idle_turns: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    first: Counter[str] = field(default_factory=Counter)
    """Role -> number of its next attempt."""
    names: Counter[str] = field(default_factory=Counter)
    rounds_found: int = 0
    """Of a canary: turns in which it was found."""
    rounds_cut: int = 0
    """Of a canary: turns with an attempt that does not count, or none at all, and nothing found: killed, for instance."""
    headline: str = ""
    shared: int = 0
    """Attempts that count and ran in a process in which another one of this item does."""
    processes: Processes = field(default_factory=Processes)
    outcomes: ClusterCounts = field(default_factory=ClusterCounts)
    """In their order, as they ended first: an amended one stays what it was."""
    failed_where_another_counts: set[int] = field(default_factory=set)
    """Numbers of attempts: fresh processes may take them back."""

    @property
    def counted(self) -> int:
        """Return the attempts that count, those of one process once."""
        return sum(n for verdict, n in self.verdicts.items() if Verdict(verdict).enters_rate) - self.shared

    @property
    def failures(self) -> int:
        return sum(n for verdict, n in self.verdicts.items() if Verdict(verdict).is_failure)

    @property
    def is_set_aside(self) -> bool:
        return self.idle_turns >= IDLE_TURNS_MAX

    @property
    def standing(self) -> Standing:
        # An acceptable verdict earns no extra turns.
        wanted = sum(self.verdicts[one] for one in self.acceptable)
        return Standing(self.seconds, self.turns, max(0, self.failures - wanted))


@dataclass(frozen=True)
class News:
    """A failure that neither `results/known` nor the baseline has a name for."""

    name: str
    item: str
    serial: int
    headline: str


class CampaignTally:
    """Counts of a campaign. `see` takes its records one by one."""

    def __init__(
        self, arms: Iterable[Arm], known: Collection[str], baseline: Collection[tuple[str, str]]
    ) -> None:
        """`known` are ids of signatures, `baseline` pairs (scenario, name of a failure)."""
        self.arms = {one.item: one for one in arms}
        self._known, self._baseline = known, baseline
        self.news: dict[tuple[str, str], News] = {}
        self.known_failures = 0
        self.foreign_kills = 0
        self.serial_max = 0
        self.counted_before = 0
        """Attempts that an earlier process of the campaign had counted: they say nothing about the speed of this one."""
        self._open: dict[tuple[str, str, int], int] = {}
        self.unfinished: list[int] = []
        """Serials of attempts without an end, of processes that are dead."""

    @property
    def attempts(self) -> int:
        return sum(one.verdicts.total() for one in self.arms.values())

    @property
    def failing(self) -> list[Arm]:
        return [one for one in self.arms.values() if one.failures and not one.is_canary]

    @property
    def canaries(self) -> list[Arm]:
        return [one for one in self.arms.values() if one.is_canary]

    @property
    def canary_rounds(self) -> tuple[int, int]:
        """Return (rounds in which a canary was found, rounds in which it could have been)."""
        tried = sum(one.turns - one.rounds_cut for one in self.canaries)
        return sum(one.rounds_found for one in self.canaries), tried

    @property
    def canary_rounds_cut(self) -> int:
        """Return how many rounds say nothing, because not all of their attempts count."""
        return sum(one.rounds_cut for one in self.canaries)

    def see(self, record: Mapping[str, Any]) -> None:
        """Count one record; those of other items than the arms' name nothing here."""
        kind = record.get("kind")
        if kind == "attempt_start":
            self._start(record)
        elif kind == "attempt_end":
            self._end(record)
        elif kind == "item":
            self._item(record)
        elif kind == "totals" and record["role"] == "crew" and record["item"] in self.arms:
            arm = self.arms[record["item"]]
            arm.verdicts.update(record["verdicts"])
            arm.shared += int(record.get("shared", 0))
            arm.seconds += record["seconds"]

    def process_died(self) -> None:
        """Say that the process whose records were read is dead: what it had started has no end."""
        self.unfinished += self._open.values()
        self._open.clear()

    def _start(self, record: Mapping[str, Any]) -> None:
        serial = int(record.get("serial", 0))
        self.serial_max = max(self.serial_max, serial)
        self._open[record["item"], record["role"], record["attempt"]] = serial
        arm = self.arms.get(record["item"])
        if arm is not None:
            arm.first[record["role"]] = max(arm.first[record["role"]], record["attempt"] + 1)

    def _end(self, record: Mapping[str, Any]) -> None:
        self._open.pop((record["item"], record["role"], record["attempt"]), None)
        arm = self.arms.get(record["item"])
        if arm is None:
            return
        verdict = Verdict(record["verdict"])
        self.foreign_kills += (
            not record.get("amends") and verdict == Verdict.INCONCLUSIVE and bool(record.get("signal"))
        )
        if record["role"] != "crew":
            return
        if record.get("amends"):
            # A late crash report: nearly always of an attempt that seemed to pass. Or a failure that no fresh process has.
            arm.verdicts -= Counter({str(record.get("was", Verdict.PASS)): 1})
            if verdict == Verdict.AGED:
                serial = record.get("serial")
                self.news = {key: one for key, one in self.news.items() if one.serial != serial}
                arm.shared -= record["attempt"] in arm.failed_where_another_counts
        elif verdict.enters_rate:
            arm.outcomes.add(failed=verdict.is_failure, age=int(record.get("age", 0)))
        if not record.get("amends") and arm.processes.has_another(record):
            arm.shared += 1
            if verdict.is_failure:
                arm.failed_where_another_counts.add(record["attempt"])
        arm.verdicts[str(verdict)] += 1
        if verdict.is_failure and not arm.is_canary:
            self._failure(arm, record)

    def _failure(self, arm: Arm, record: Mapping[str, Any]) -> None:
        name, _ = failure_name(record)
        if name in arm.names or len(arm.names) < NAMES_MAX:
            arm.names[name] += 1
        scenario = scenario_of(arm.item)
        if record["verdict"] in arm.acceptable:
            return
        if name in self._known or (scenario, name) in self._baseline:
            self.known_failures += 1
        elif len(self.news) < NAMES_MAX:
            news = News(name, arm.item, int(record.get("serial", 0)), str(record["headline"]))
            self.news.setdefault((scenario, name), news)

    def _item(self, record: Mapping[str, Any]) -> None:
        arm = self.arms.get(record["item"])
        if arm is None:
            return
        arm.turns += 1
        arm.seconds += float(record["seconds"])
        arm.idle_turns = 0 if record["counted"] else arm.idle_turns + 1
        arm.headline = str(record.get("headline", ""))
        if arm.is_canary:
            found = record["verdict"] == Verdict.PASS
            arm.rounds_found += found
            arm.rounds_cut += not found and not record["attempts"] == record["counted"] > 0
