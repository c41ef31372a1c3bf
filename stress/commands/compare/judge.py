"""Judgement of each pair: one-sided Fisher tests, corrected for how many there are.

Two families of tests, "NEW fails more often" and "NEW fails less often", each over all pairs of all sections with
Holm's correction: the probability of one wrong "worse" among all rows is below `ALPHA`, and so is that of one
wrong "better". A pair without a failure on either side can never be rejected, so it takes no share of the level
(Tarone 1990); it is reported as such, with the rate that it would have missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from stress.commands.compare.pairs import Section
from stress.model import stats
from stress.record.aggregate import Cell

ALPHA = 0.05
ATTEMPTS_NEEDED_MAX = 1_000_000


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
    """Adjusted by Holm over all rows; 1 where nothing failed."""
    p_better: float
    needed: int | None = None
    """About so many more attempts on each side would tell, if the rates are what they look like."""

    @property
    def item(self) -> str:
        return self.base.item


def judge(sections: Sequence[Section]) -> list[list[Row]]:
    """Return the rows of each section."""
    pairs = [pair for section in sections for pair in section.pairs]
    tested = [
        number for number, (a, b) in enumerate(pairs) if a.counted and b.counted and a.failures + b.failures
    ]
    worse = stats.holm([_p(*pairs[number]) for number in tested])
    better = stats.holm([_p(*reversed(pairs[number])) for number in tested])
    adjusted = dict(zip(tested, zip(worse, better, strict=True), strict=True))
    rows = [_row(pair, adjusted.get(number), len(tested)) for number, pair in enumerate(pairs)]
    remaining = iter(rows)
    return [[next(remaining) for _ in section.pairs] for section in sections]


def _p(a: Cell, b: Cell) -> float:
    return stats.fisher_one_sided(a.failures, a.counted, b.failures, b.counted)


def _row(pair: tuple[Cell, Cell], adjusted: tuple[float, float] | None, tests: int) -> Row:
    base, new = pair
    if adjusted is None:
        answer = PairResult.CLEAN if base.counted and new.counted else PairResult.EMPTY
        return Row(base, new, answer, 1.0, 1.0)
    p_worse, p_better = adjusted
    if p_worse < ALPHA:
        return Row(base, new, PairResult.WORSE, p_worse, p_better)
    if p_better < ALPHA:
        return Row(base, new, PairResult.BETTER, p_worse, p_better)
    return Row(base, new, PairResult.UNTOLD, p_worse, p_better, _needed(base, new, ALPHA / tests))


def _needed(base: Cell, new: Cell, alpha: float) -> int | None:
    """Return how many more attempts of each side would tell the seen rates apart; None where they are equal."""
    low, high = sorted((base.failures / base.counted, new.failures / new.counted))
    if low == high:
        return None
    more = stats.attempts_to_tell_apart(low, high, alpha) - min(base.counted, new.counted)
    return min(max(1, more), ATTEMPTS_NEEDED_MAX)
