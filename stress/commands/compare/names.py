"""Failures by name, and all of them together: which are new, gone, or more frequent, over the items that have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from stress.commands.compare.pairs import Section
from stress.diagnose import load_signatures
from stress.model import stats
from stress.record.aggregate import Cell

ANY_FAILURE = "any failure"


@dataclass
class Named:
    """One name in the pairs of one section that have it: attempts that failed with it, of those that could have."""

    name: str
    is_known: bool = False
    base: int = 0
    new: int = 0
    base_counted: int = 0
    new_counted: int = 0
    items: list[str] = field(default_factory=list)
    tables: list[stats.Table] = field(default_factory=list)
    """Of each item: failures and attempts of BASE, of NEW."""

    @property
    def is_new(self) -> bool:
        return self.new > 0 and self.base == 0

    @property
    def is_gone(self) -> bool:
        return self.base > 0 and self.new == 0

    def add(self, pair: tuple[Cell, Cell], failures: tuple[int, int]) -> None:
        base, new = pair
        self.items.append(base.item)
        self.tables.append((failures[0], base.counted, failures[1], new.counted))
        self.base += failures[0]
        self.new += failures[1]
        self.base_counted += base.counted
        self.new_counted += new.counted


def names_of(section: Section) -> list[Named]:
    """Return every name of a failure in the section's pairs, new ones first, then gone ones."""
    known = {one.id for one in load_signatures()}
    found: dict[str, Named] = {}
    for pair in section.pairs:
        for name in sorted({name for cell in pair for _, name in cell.names}):
            named = found.setdefault(name, Named(name, name in known))
            named.add(pair, (_count(pair[0], name), _count(pair[1], name)))
    return sorted(found.values(), key=lambda one: (not one.is_new, not one.is_gone, one.name))


def together_of(section: Section) -> Named:
    """Return all failures, whatever their names, over the items that have any."""
    found = Named(ANY_FAILURE)
    for base, new in section.pairs:
        if base.failures + new.failures:
            found.add((base, new), (base.failures, new.failures))
    return found


def unknown_new(names: Sequence[Named]) -> list[Named]:
    """Return the failures that BASE did not have and nobody has described yet."""
    return [one for one in names if one.is_new and not one.is_known]


def _count(cell: Cell, name: str) -> int:
    return sum(count for (_, its), count in cell.names.items() if its == name)
