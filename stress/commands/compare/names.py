"""Failures by name: which are new, which are gone, and whether `results/known` knows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from stress.commands.compare.judge import ALPHA
from stress.commands.compare.pairs import Section
from stress.diagnose import load_signatures
from stress.model import stats
from stress.record.aggregate import Cell


@dataclass
class Named:
    """One name in all pairs of one section: attempts that failed with it, of those that could have."""

    name: str
    is_known: bool
    base: int = 0
    new: int = 0
    base_counted: int = 0
    new_counted: int = 0
    items: list[str] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        return self.new > 0 and self.base == 0

    @property
    def is_gone(self) -> bool:
        return self.base > 0 and self.new == 0

    @property
    def chance(self) -> float:
        """Return the probability of so one-sided a split by chance, over the items in which it was seen."""
        if self.is_new:
            return stats.fisher_one_sided(self.base, self.base_counted, self.new, self.new_counted)
        return stats.fisher_one_sided(self.new, self.new_counted, self.base, self.base_counted)

    @property
    def is_significant(self) -> bool:
        """Whether more than chance stands behind "new" or "gone"."""
        return self.chance < ALPHA


def names_of(section: Section) -> list[Named]:
    """Return every name of a failure in the section's pairs, new ones first, then gone ones."""
    known = {one.id for one in load_signatures()}
    found: dict[str, Named] = {}
    seen: dict[str, list[tuple[Cell, Cell]]] = defaultdict(list)
    for pair in section.pairs:
        for name in sorted({name for cell in pair for _, name in cell.names}):
            found.setdefault(name, Named(name, name in known))
            seen[name].append(pair)
    for name, named in found.items():
        for base, new in seen[name]:
            named.items.append(base.item)
            named.base += _count(base, name)
            named.new += _count(new, name)
            named.base_counted += base.counted
            named.new_counted += new.counted
    return sorted(found.values(), key=lambda one: (not one.is_new, not one.is_gone, one.name))


def unknown_new(names: Sequence[Named]) -> list[Named]:
    """Return the failures that BASE did not have and nobody has described yet."""
    return [one for one in names if one.is_new and not one.is_known]


def _count(cell: Cell, name: str) -> int:
    return sum(count for (_, its), count in cell.names.items() if its == name)
