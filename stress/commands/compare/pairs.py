"""Pair the cells of two sides: the same item on the same class of machine under the same settings, two builds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field

from stress.model import stats
from stress.model.errors import UserError
from stress.record.aggregate import Aggregate
from stress.record.aggregate import Cell
from stress.record.aggregate import DeviceKind
from stress.record.aggregate import Group

Key = tuple[str, str, tuple[str, ...]]


class CompareError(UserError):
    """The two sides cannot be compared; the text says why and what to give instead."""


@dataclass
class Section:
    """Two groups that differ only in the build."""

    base: Group
    new: Group
    pairs: list[tuple[Cell, Cell]] = field(default_factory=list)
    canaries: list[tuple[Cell, Cell]] = field(default_factory=list)
    only_base: list[Cell] = field(default_factory=list)
    only_new: list[Cell] = field(default_factory=list)

    @property
    def lost(self) -> list[Cell]:
        """Return the items of BASE of which no attempt counts in NEW: nothing shows what became of them."""
        uncounted = [base for base, new in self.pairs if base.counted and not new.counted]
        return [*(cell for cell in self.only_base if cell.counted), *uncounted]

    @property
    def canaries_missed(self) -> list[Cell]:
        """Return the planted faults that NEW ran and did not find."""
        return [new for _, new in self.canaries if not new.failures] + [
            cell for cell in self.only_new if cell.is_canary and not cell.failures
        ]

    @property
    def runs(self) -> tuple[int, int]:
        """Return how many runs the attempts of each side come from, in the item that has the most."""
        sides = zip(*((len(base.by_run), len(new.by_run)) for base, new in self.pairs), strict=True)
        base, new = [max(1, *side) for side in sides] or [1, 1]
        return base, new

    @property
    def factor(self) -> int:
        """Return what p-values are multiplied by, because each run beyond the first of a side may be an added one."""
        return stats.looks_factor(sum(self.runs) - 1)

    @property
    def is_same_build(self) -> bool:
        return self.base.build == self.new.build


def sections_of(base: Aggregate, new: Aggregate, *, any_settings: bool) -> list[Section]:
    """Return what can be compared; raise `CompareError` where nothing can, or a side mixes builds."""
    sides = [_by_key(one, name, any_settings) for one, name in ((base, "BASE"), (new, "NEW"))]
    shared = [key for key in sides[0] if key in sides[1]]
    if not shared:
        raise CompareError(_nothing_shared(*sides))
    order = list(DeviceKind)
    shared.sort(key=lambda key: (order.index(sides[0][key].kind), key))
    return [_section(base, sides[0][key], new, sides[1][key]) for key in shared]


def left_out(side: Aggregate, name: str, used: set[Group]) -> Iterator[str]:
    """Yield a sentence per group of this side that has no partner on the other one."""
    for group in side.groups:
        if group not in used:
            yield f"only in {name}, not compared: {_described(group)}, {group.build.label}"


def _by_key(side: Aggregate, name: str, any_settings: bool) -> dict[Key, Group]:
    groups: dict[Key, list[Group]] = defaultdict(list)
    for group in side.groups:
        kind, machine, configuration = group.base
        groups[kind, machine, () if any_settings else configuration].append(group)
    if not groups:
        raise CompareError(f"{name} has no attempt that was both started and ended")
    for found in groups.values():
        builds = list(dict.fromkeys(one.build for one in found))
        if len(builds) > 1:
            labels = "; ".join(one.label for one in builds[:4])
            raise CompareError(
                f"{name} has attempts of {len(builds)} builds on {_described(found[0])} ({labels}), which are never pooled: "
                f"give the runs of one build"
            )
        if len(found) > 1:
            texts = "; ".join(one.configuration_text for one in found[:4])
            raise CompareError(
                f"{name} has attempts under {len(found)} settings on one machine ({texts}), which are never pooled: "
                "give the runs of one, or leave out --any-settings"
            )
    return {key: found[0] for key, found in groups.items()}


def _nothing_shared(base: dict[Key, Group], new: dict[Key, Group]) -> str:
    found = [
        "; ".join(list(dict.fromkeys(_described(one) for one in side.values()))[:4]) for side in (base, new)
    ]
    alike = {key[:2] for key in base} & {key[:2] for key in new}
    way_out = ". mps-stress compare --any-settings compares unlike settings and switches" if alike else ""
    return f"nothing can be compared. BASE: {found[0]}. NEW: {found[1]}{way_out}"


def _described(group: Group) -> str:
    return f"{group.kind} on {group.machine} ({group.configuration_text})"


def _section(base: Aggregate, base_group: Group, new: Aggregate, new_group: Group) -> Section:
    section = Section(base_group, new_group)
    others = {cell.item: cell for cell in new.of(new_group)}
    for cell in base.of(base_group):
        other = others.pop(cell.item, None)
        if other is None:
            section.only_base.append(cell)
        elif cell.is_canary or other.is_canary:
            section.canaries.append((cell, other))
        else:
            section.pairs.append((cell, other))
    section.only_new = list(others.values())
    return section
