"""All counts of all folders, and what could not be used."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import NamedTuple

from stress.model.verdict import Verdict
from stress.record.aggregate.cells import Cell
from stress.record.aggregate.cells import Failure
from stress.record.aggregate.cells import totals
from stress.record.aggregate.groups import UNDER_TSAN
from stress.record.aggregate.groups import DeviceKind
from stress.record.aggregate.groups import Group

CELLS_MAX = 20_000
RUNS_MAX = 2_000
GROUPS_MAX = 500
FAILURES_PER_NAME_MAX = 2
FAILURES_MAX = 2_000
PROBLEMS_MAX = 200
SENTENCES_MAX = 2_000
SEEDED = "+"
"""Marks the name of a native case that runs with a seeded fault: it must fail, so it is not a finding."""
COUNTED_COMMANDS = ("", "campaign")
"""Commands whose attempts are a sample of their scenarios; "" is pytest."""


@dataclass
class RunInfo:
    """One run, put together from all processes that wrote records of it."""

    run: str
    folder: Path
    group: Group
    """That of the first process; with `--dist=each` the others may have another interpreter and torch build."""
    time: float
    record: dict[str, Any]
    """The `run` record of the first process."""
    processes: int = 0
    ended: int = 0
    exit_status: int | None = None
    seconds: float = 0.0
    attempts: int = 0
    """Attempts of the crew, however they ended."""
    unfinished: int = 0
    lost: int = 0

    @property
    def command(self) -> str:
        """Return the `mps-stress` command that made it; "" for pytest."""
        command = self.record.get("command")
        return command if isinstance(command, str) else ""

    @property
    def is_apart(self) -> bool:
        """Whether its attempts are not a sample of the scenarios: a seeded fault, a timing, a repetition of a failure."""
        return self.command not in COUNTED_COMMANDS

    @property
    def was_killed(self) -> bool:
        return self.ended < self.processes


class Sentence(NamedTuple):
    """An item whose result is one sentence: what was found and what that is worth."""

    run: str
    item: str
    verdict: str
    text: str


@dataclass
class Aggregate:
    """The counts of any number of folders."""

    cells: dict[tuple[Group, str], Cell] = field(default_factory=dict)
    runs: dict[str, RunInfo] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    """Some of every name in every cell, the first ones that came."""
    sentences: list[Sentence] = field(default_factory=list)
    """What ThreadSanitizer's cases say of themselves, the first ones."""
    problems: list[str] = field(default_factory=list)
    """`file:line: reason`, the first `PROBLEMS_MAX`."""
    problems_total: int = 0
    torn_lines: int = 0
    unknown_kinds: Counter[str] = field(default_factory=Counter)
    records: int = 0
    omitted: Counter[str] = field(default_factory=Counter)
    """What was too much to keep -> how much of it was left out."""
    kept_by_name: Counter[tuple[Group, str, str]] = field(default_factory=Counter)

    def problem(self, text: str) -> None:
        self.problems_total += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(text)

    def cell(self, group: Group, item: str, threads: int) -> Cell | None:
        """Return the item's counts in this group; None, and counted, where there are too many."""
        found = self.cells.get((group, item))
        if found is None:
            if len(self.cells) >= CELLS_MAX:
                self.omitted["attempts of further items"] += 1
                return None
            found = self.cells[group, item] = Cell(group, item, threads)
        if threads and not found.threads:
            found.threads = threads
        return found

    def keep(self, failure: Failure, item: str) -> None:
        """Keep a failure to be shown, unless enough like it are kept."""
        key = (failure.group, item, failure.name)
        if self.kept_by_name[key] >= FAILURES_PER_NAME_MAX:
            return
        if len(self.failures) >= FAILURES_MAX:
            self.omitted["failures that could be shown"] += 1
            return
        self.kept_by_name[key] += 1
        self.failures.append(failure)

    @property
    def groups(self) -> list[Group]:
        """Return the groups that have attempts, real devices first."""
        order = list(DeviceKind)
        found = {group for group, _ in self.cells}
        return sorted(found, key=lambda one: (order.index(one.kind), one))

    @property
    def sanitizer_lines(self) -> Counter[tuple[str, bool, DeviceKind]]:
        """Return (text, whether it is green, kind of device) -> how often: native cases, and scenarios under `--mps-tsan`."""
        found: Counter[tuple[str, bool, DeviceKind]] = Counter()
        by_case: dict[tuple[Group, str], list[Sentence]] = defaultdict(list)
        for one in self.sentences:
            if SEEDED not in one.item.rpartition("::")[2]:
                by_case[self.runs[one.run].group, one.item].append(one)
        for (group, _), told in by_case.items():
            newest = max(told, key=lambda one: self.runs[one.run].time)
            unclean = sum(not Verdict(one.verdict).is_green for one in told)
            # A later clean run does not take back what an earlier one has shown.
            more = (
                f"; {unclean} of the {len(told)} runs of this case were not clean"
                if unclean and len(told) > 1
                else ""
            )
            found[f"{newest.text}{more}", not unclean, group.kind] += len(told)
        for group in self.groups:
            if group.is_under_tsan:
                cells = [cell for cell in self.of(group) if not cell.is_canary]
                failures, counted = totals(cells)
                canaries = [cell for cell in self.of(group) if cell.is_canary]
                seen = (
                    f"{sum(cell.failures > 0 for cell in canaries)} of {len(canaries)} canaries found"
                    if canaries
                    else "no planted fault was run"
                )
                is_sound = (
                    UNDER_TSAN in group.configuration
                    and bool(canaries)
                    and all(cell.failures for cell in canaries)
                )
                text = f"scenarios {group.configuration_text}: {failures} of {counted} attempts of {len(cells)} items failed; {seen}"
                found[text, not failures and is_sound, group.kind] += 1
        return found

    def of(self, group: Group) -> list[Cell]:
        """Return the cells of one group, sorted by item and thread count."""
        return sorted(
            (cell for (its, _), cell in self.cells.items() if its == group),
            key=lambda one: (one.scenario, one.threads, one.item),
        )

    def failures_of(self, group: Group) -> Iterator[Failure]:
        return (one for one in self.failures if one.group == group)
