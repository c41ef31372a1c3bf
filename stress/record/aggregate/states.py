"""What became of a failure over torch builds, on one machine and with the same settings: open, fixed, back, or unknown.

Builds are in the order of their versions. "Fixed in B" is a claim about a rate of nothing, so it needs a test: the items
in which it was seen failed more often before B than from B on, by the exact stratified test at level `ALPHA`. "Regressed"
needs the same, and a failure after it, or a build that has the fix that `results/known` names.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from stress.model import stats
from stress.model.torch_version import has_fix
from stress.model.torch_version import version_key
from stress.record.aggregate.cells import Cell
from stress.record.aggregate.groups import Group
from stress.record.aggregate.groups import TorchBuild
from stress.record.aggregate.runs import Aggregate

ALPHA = 0.01
"""Level of each claim that something was fixed."""

Counts = Mapping[str, tuple[int, int]]
"""Item -> (failures, attempts that count) on one build."""


class StateWord(StrEnum):
    OPEN = "open"
    FIXED = "fixed in"
    REGRESSED = "regressed in"
    UNKNOWN = "cannot tell"
    CLEAN = "no failure"


@dataclass(frozen=True)
class State:
    """A state, the build that it names, and how likely chance alone makes it."""

    word: StateWord
    build: TorchBuild | None = None
    p: float | None = None


@dataclass(frozen=True)
class BuildHistory:
    """One scenario, or one name of a failure, over the builds of a section."""

    name: str
    by_build: Sequence[Counts]
    """As the section's builds are ordered; empty where it did not run."""
    state: State
    seen: tuple[float, float] | None = None
    """When it was seen first and last, in seconds since 1970."""

    @property
    def failures(self) -> int:
        return sum(failures for one in self.by_build for failures, _ in one.values())


@dataclass(frozen=True)
class MachineSection:
    """One machine and configuration: its builds in order, its scenarios, its failures."""

    groups: Sequence[Group]
    """One for each build."""
    scenarios: Sequence[BuildHistory]
    failures: Sequence[BuildHistory]


def state_of(
    by_build: Sequence[Counts],
    builds: Sequence[TorchBuild],
    trusted: Sequence[bool],
    fixed: str = "",
) -> State:
    """Return the state over these builds, oldest first.

    `trusted` says on which builds a clean attempt is worth something: not where a canary was missed. `fixed` is the version
    in which `results/known` says that it was fixed.
    """
    used = [
        number
        for number, counts in enumerate(by_build)
        if _failed(counts) or (trusted[number] and any(counted for _, counted in counts.values()))
    ]
    failing = [number for number in used if _failed(by_build[number])]
    if not failing:
        return State(StateWord.CLEAN if used else StateWord.UNKNOWN)
    back = next((number for number in failing if fixed and has_fix(builds[number].version, fixed)), None)
    if back is not None:
        return State(StateWord.REGRESSED, builds[back])
    clean: list[int] = []
    for number in used:
        if number not in failing:
            clean.append(number)
            continue
        if clean and (p := _p_fixed(by_build, [one for one in failing if one < clean[0]], clean)) < ALPHA:
            return State(StateWord.REGRESSED, builds[number], p)
        clean = []
    if not clean:
        return State(StateWord.OPEN, builds[failing[-1]])
    before = [one for one in used if failing[0] <= one < clean[0]]
    p = _p_fixed(by_build, before, clean)
    return State(StateWord.FIXED, builds[clean[0]], p) if p < ALPHA else State(StateWord.UNKNOWN, None, p)


def _failed(counts: Counts) -> bool:
    return any(failures for failures, _ in counts.values())


def _p_fixed(by_build: Sequence[Counts], before: Sequence[int], after: Sequence[int]) -> float:
    """Return how likely so few failures are in the later builds, if the items fail as often as before; 1 without a test."""
    tables = []
    for item in dict.fromkeys(item for one in before for item in by_build[one]):
        old = [by_build[one].get(item, (0, 0)) for one in before]
        new = [by_build[one].get(item, (0, 0)) for one in after]
        if any(counted for _, counted in new):
            tables.append((
                sum(failures for failures, _ in old), sum(counted for _, counted in old),
                sum(failures for failures, _ in new), sum(counted for _, counted in new),
            ))  # fmt: skip
    return stats.stratified_one_sided(tables)[1]


def sections_of(whole: Aggregate, fixed: Mapping[str, str]) -> list[MachineSection]:
    """Return a section per machine and configuration; `fixed` is the version by id of a known failure."""
    by_base: dict[tuple[str, str, tuple[str, ...]], list[Group]] = {}
    for group in whole.groups:
        by_base.setdefault(group.base, []).append(group)
    first_run: dict[Group, float] = {}
    for info in whole.runs.values():
        first_run[info.group] = min(info.time, first_run.get(info.group, info.time))
    found = []
    for groups in by_base.values():
        ordered = sorted(
            groups,
            key=lambda one: (version_key(one.build.version) or (0,) * 5, first_run.get(one, 0.0), one.build),
        )
        found.append(_section(whole, ordered, fixed))
    return found


def _section(whole: Aggregate, groups: Sequence[Group], fixed: Mapping[str, str]) -> MachineSection:
    builds = [one.build for one in groups]
    cells = [[cell for cell in whole.of(one) if not cell.is_canary] for one in groups]
    trusted = [not any(cell.is_canary and not cell.failures for cell in whole.of(one)) for one in groups]
    of_scenario: list[dict[str, dict[str, tuple[int, int]]]] = [{} for _ in cells]
    having: dict[str, set[str]] = {}
    for own, counts in zip(cells, of_scenario, strict=True):
        for one in own:
            counts.setdefault(one.scenario, {})[one.item] = _counts(one)
            for name in one.seen:
                having.setdefault(name, set()).add(one.item)
    by_item = [{one.item: one for one in own} for own in cells]

    def history(
        name: str, by_build: Sequence[Counts], seen: tuple[float, float] | None = None
    ) -> BuildHistory:
        return BuildHistory(name, by_build, state_of(by_build, builds, trusted, fixed.get(name, "")), seen)

    scenarios = [
        history(name, [counts.get(name, {}) for counts in of_scenario])
        for name in dict.fromkeys(name for counts in of_scenario for name in counts)
    ]
    failures = [history(name, *_of_name(name, items, by_item)) for name, items in having.items()]
    return MachineSection(groups, scenarios, failures)


def _counts(cell: Cell) -> tuple[int, int]:
    """Return (failures, attempts that count); what the scenario accepts is no failure."""
    return 0 if cell.is_accepted else cell.failures, cell.counted


def _of_name(
    name: str, items: Iterable[str], by_item: Sequence[Mapping[str, Cell]]
) -> tuple[list[Counts], tuple[float, float]]:
    """Return the counts of one name of a failure, in the items that ever had it, and when it was seen."""
    having = [[own[item] for item in sorted(items) if item in own] for own in by_item]
    by_build: list[Counts] = [
        {
            cell.item: (sum(number for (_, its), number in cell.names.items() if its == name), cell.counted)
            for cell in cells
        }
        for cells in having
    ]
    times = [cell.seen[name] for cells in having for cell in cells if name in cell.seen]
    return by_build, (min(first for first, _ in times), max(last for _, last in times))
