"""Judgement of each pair, of each name of a failure, and of all items together: exact tests, corrected for their number.

An item is one table (Fisher's test). A name, and all failures together, are a table per item that has them: the exact
stratified test, because ten failures in ten items are one finding that no item shows by itself, and because pooled counts
would take another mixture of items for a difference.

Two families of tests, "NEW fails more often" and "NEW fails less often", each over all of them in all sections with
Holm's correction: the probability of one wrong "worse" anywhere is below `ALPHA`, and so is that of one wrong "better".
Where runs were added to a side, each may have been added because of what was seen: p-values are then multiplied by
`stats.looks_factor`, for a look after each added run.
The same attempts are tested once, though an item and a name may both stand for them. A pair without a failure on either
side can never be rejected, so it takes no share of the level (Tarone 1990); it is reported as such, with the rate that it
would have missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from enum import StrEnum

from stress.commands.compare.names import Named
from stress.commands.compare.names import names_of
from stress.commands.compare.names import together_of
from stress.commands.compare.pairs import Section
from stress.model import stats
from stress.record.aggregate import Cell

ALPHA = 0.05
ATTEMPTS_NEEDED_MAX = 1_000_000

_Key = tuple[tuple[str, stats.Table], ...]
"""What one test is made from: items with their tables. Equal keys are the same attempts."""


class PairResult(StrEnum):
    WORSE = "WORSE"
    BETTER = "BETTER"
    UNTOLD = "cannot be told apart"
    CLEAN = "no failure on either side"
    EMPTY = "nothing counts"


@dataclass(frozen=True)
class Row:
    """One item on two sides."""

    base: Cell
    new: Cell
    answer: PairResult
    p_worse: float
    """Adjusted by Holm over all tests; 1 where nothing failed."""
    p_better: float
    needed: int | None = None
    """About so many more attempts on each side would tell, if the rates are what they look like."""

    @property
    def item(self) -> str:
        return self.base.item


@dataclass(frozen=True)
class JudgedName:
    """One name of a failure, or all failures together, on two sides."""

    named: Named
    answer: PairResult
    p_worse: float
    p_better: float


@dataclass(frozen=True)
class JudgedSection:
    """Everything that is said of one section."""

    rows: list[Row]
    names: list[JudgedName]
    together: JudgedName


@dataclass
class _Family:
    """All tests, each once, by section and key."""

    tests: dict[tuple[int, _Key], tuple[float, float]] = field(default_factory=dict)

    def add(self, section: int, key: _Key, factor: int) -> None:
        """Add a test whose p-values are multiplied by `factor`."""
        if key and (section, key) not in self.tests:
            more, less = stats.stratified_one_sided([table for _, table in key])
            self.tests[section, key] = (min(1.0, factor * more), min(1.0, factor * less))

    def adjusted(self) -> dict[tuple[int, _Key], tuple[float, float]]:
        """Return (p of worse, p of better) of each test with Holm's correction."""
        worse = stats.holm([one for one, _ in self.tests.values()])
        better = stats.holm([one for _, one in self.tests.values()])
        return dict(zip(self.tests, zip(worse, better, strict=True), strict=True))


def judge(sections: Sequence[Section]) -> list[JudgedSection]:
    """Return what is said of each section."""
    named = [(names_of(section), together_of(section)) for section in sections]
    family = _Family()
    for number, section in enumerate(sections):
        for pair in section.pairs:
            family.add(number, _key_of_pair(pair), section.factor)
        for one in (*named[number][0], named[number][1]):
            family.add(number, _key_of_name(one), section.factor)
    found = family.adjusted()
    return [
        JudgedSection(
            [
                _row(pair, found.get((number, _key_of_pair(pair))), len(found) * section.factor)
                for pair in section.pairs
            ],
            [_judged(one, found.get((number, _key_of_name(one)))) for one in named[number][0]],
            _judged(named[number][1], found.get((number, _key_of_name(named[number][1])))),
        )
        for number, section in enumerate(sections)
    ]


def _key_of_pair(pair: tuple[Cell, Cell]) -> _Key:
    base, new = pair
    is_tested = base.counted and new.counted and base.failures + new.failures
    return ((base.item, (base.failures, base.counted, new.failures, new.counted)),) if is_tested else ()


def _key_of_name(one: Named) -> _Key:
    # An item that counts on one side only has no other side to be compared with.
    return tuple(
        (item, table) for item, table in zip(one.items, one.tables, strict=True) if table[1] and table[3]
    )


def _answer(adjusted: tuple[float, float]) -> PairResult:
    p_worse, p_better = adjusted
    return (
        PairResult.WORSE if p_worse < ALPHA else PairResult.BETTER if p_better < ALPHA else PairResult.UNTOLD
    )


def _judged(one: Named, adjusted: tuple[float, float] | None) -> JudgedName:
    if adjusted is None:
        return JudgedName(one, PairResult.CLEAN if not one.base + one.new else PairResult.EMPTY, 1.0, 1.0)
    return JudgedName(one, _answer(adjusted), *adjusted)


def _row(pair: tuple[Cell, Cell], adjusted: tuple[float, float] | None, tests: int) -> Row:
    """Return what is said of a pair; `tests` share the level."""
    base, new = pair
    if adjusted is None:
        answer = PairResult.CLEAN if base.counted and new.counted else PairResult.EMPTY
        return Row(base, new, answer, 1.0, 1.0)
    answer = _answer(adjusted)
    needed = _needed(base, new, ALPHA / tests) if answer == PairResult.UNTOLD else None
    return Row(base, new, answer, *adjusted, needed)


def _needed(base: Cell, new: Cell, alpha: float) -> int | None:
    """Return how many more attempts of each side would tell the seen rates apart; None where they are equal."""
    low, high = sorted((base.failures / base.counted, new.failures / new.counted))
    if low == high:
        return None
    more = stats.attempts_to_tell_apart(low, high, alpha) - min(base.counted, new.counted)
    return min(max(1, more), ATTEMPTS_NEEDED_MAX)
