"""The search over builds: right as often as it says, by many drawn histories; and what it says where there is no answer."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from stress.commands.bisect import report
from stress.commands.bisect.search import Batch
from stress.commands.bisect.search import Bisection

NEVER = 10**9
SEEDS = 100


def bisection(
    rates: Sequence[float | None], seed: int, *, confidence: float = 0.99, attempts_max: int = NEVER
) -> Bisection:
    """Return a search over builds that fail so often; None cannot run it."""
    draw = random.Random(seed)
    made = [0]

    def run_batch(index: int, attempts: int) -> Batch | None:
        rate = rates[index]
        if rate is None:
            return None
        made[0] += attempts
        return Batch(sum(draw.random() < rate for _ in range(attempts)), attempts)

    names = [f"b{index + 1}" for index in range(len(rates))]
    return Bisection(names, run_batch, lambda: made[0] >= attempts_max, confidence)


def found(rates: Sequence[float | None], seed: int) -> str:
    one = bisection(rates, seed)
    one.run()
    assert one.is_single, one.problem
    return one.probes[one.first_bad].name


def test_the_one_of_ten_builds_that_brought_in_a_failure_of_one_attempt_in_twenty() -> None:
    """Twenty of twenty, wherever it lies: what the issue asks for."""
    for seed in range(20):
        first = 1 + seed % 9
        assert found([0.0] * first + [0.05] * (10 - first), seed) == f"b{first + 1}"


@pytest.mark.parametrize("bad", [0.05, 0.3, 1.0])
def test_is_wrong_no_more_often_than_it_says(bad: float) -> None:
    wrong = 0
    for seed in range(SEEDS):
        first = 1 + seed % 9
        # A good build may fail, too: a tenth as often, less what the measured rate may be too low by.
        one = bisection([0.05 * bad] * first + [bad] * (10 - first), seed, confidence=0.95)
        one.run()
        wrong += not (one.is_single and one.first_bad == first)
    assert wrong <= 0.05 * SEEDS


def test_two_builds_need_no_halving() -> None:
    assert found([0.0, 0.5], 1) == "b2"


def test_a_build_that_cannot_run_is_passed_over() -> None:
    assert found([0.0, 0.0, None, 0.0, 0.4, 0.4], 1) == "b5"


def test_what_cannot_run_beside_the_answer_is_named() -> None:
    one = bisection([0.0, 0.0, None, 0.4], 1)
    one.run()
    assert not one.is_single
    text = report.text(one)
    assert "not found: b3 could not run it" in text
    assert "it came in after b2, with b4 at the latest" in text


def test_a_bad_end_that_never_fails() -> None:
    one = bisection([0.0, 0.0, 0.0], 1, attempts_max=220)
    one.run()
    assert "0 of 220 attempts at b3, which should be bad" in one.problem


def test_a_good_end_that_fails_as_well() -> None:
    one = bisection([0.3, 0.3, 0.3], 1)
    one.run()
    assert one.problem.startswith("b1, which should be good, fails as well")


def test_the_end_of_the_time_leaves_what_is_known() -> None:
    one = bisection([0.0] * 5 + [0.05] * 5, 1, attempts_max=450)
    one.run()
    assert "the time was up" in one.problem
    assert "it came in after b5, with b10 at the latest" in report.text(one)


def test_the_report_says_how_sure_it_is_and_under_which_condition() -> None:
    one = bisection([0.0] * 5 + [0.5] * 5, 1)
    one.run()
    text = report.text(one)
    assert "FIRST BAD: b6; the one before it, b5, is good" in text
    assert "right with a probability of at least 99 %" in text
    assert "b2: not looked at" in text
