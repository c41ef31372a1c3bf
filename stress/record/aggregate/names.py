"""The failures of one group by name: one fault that fails in fourteen items is one finding and a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stress.record.aggregate.cells import Cell
from stress.record.aggregate.cells import Failure
from stress.record.aggregate.groups import Group
from stress.record.aggregate.runs import Aggregate


@dataclass(frozen=True)
class NamedFailure:
    """One name of a failure: the items that have it, and the first attempt of each that was kept."""

    name: str
    cells: Sequence[Cell]
    """The most frequent first."""
    firsts: dict[str, Failure]
    """Item -> the attempt to be shown."""

    @property
    def failures(self) -> int:
        return sum(self.in_cell(cell) for cell in self.cells)

    @property
    def counted(self) -> int:
        """Return the attempts of the items that have it."""
        return sum(cell.counted for cell in self.cells)

    @property
    def controls(self) -> tuple[int, int]:
        """Return (failed, counted) of those items' one-thread controls."""
        return sum(cell.control_failures for cell in self.cells), sum(
            cell.control_counted for cell in self.cells
        )

    @property
    def first(self) -> Failure | None:
        """Return the attempt to be shown for all: of the item that fails most often."""
        return next((self.firsts[cell.item] for cell in self.cells if cell.item in self.firsts), None)

    @property
    def shared_writes(self) -> str:
        """Return what steps of the first's item write and all threads share; empty if nothing is known."""
        first = self.first
        return next(
            (cell.shared_writes for cell in self.cells if first and cell.item == first.start["item"]), ""
        )

    @property
    def seen(self) -> tuple[float, float] | None:
        """Return when it was seen first and last."""
        times = [cell.seen[self.name] for cell in self.cells if self.name in cell.seen]
        return (min(first for first, _ in times), max(last for _, last in times)) if times else None

    def in_cell(self, cell: Cell) -> int:
        """Return how many attempts of the item failed with this name."""
        return sum(number for (_, its), number in cell.names.items() if its == self.name)


def named_failures(whole: Aggregate, group: Group) -> list[NamedFailure]:
    """Return the failures of one group, those of the most items first; planted faults are left out."""
    cells: dict[str, list[Cell]] = {}
    for cell in whole.of(group):
        if not cell.is_canary:
            for name in dict.fromkeys(name for _, name in cell.names):
                cells.setdefault(name, []).append(cell)
    firsts: dict[str, dict[str, Failure]] = {}
    for one in whole.failures_of(group):
        firsts.setdefault(one.name, {}).setdefault(one.start["item"], one)
    found = [NamedFailure(name, _sorted(name, own), firsts.get(name, {})) for name, own in cells.items()]
    return sorted(found, key=lambda one: (-len(one.cells), -one.failures, one.name))


def _sorted(name: str, cells: Sequence[Cell]) -> list[Cell]:
    named = NamedFailure(name, cells, {})
    return sorted(cells, key=lambda one: (-named.in_cell(one) / max(1, one.counted), one.item))
