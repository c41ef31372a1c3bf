"""Hand-overs between threads: the fingerprint of an attempt, and how many are new (Good-Turing)."""

from __future__ import annotations

import random

import pytest

from stress.model.hand_overs import HandOverCounts
from stress.model.hand_overs import StepBegin
from stress.model.hand_overs import fingerprint
from stress.model.hand_overs import sentence
from stress.model.plan import Plan


def steps(*order: tuple[int, int]) -> list[StepBegin]:
    """Return the steps of (thread, iteration) in the order in which they began."""
    return [StepBegin(0, thread, iteration, began) for began, (thread, iteration) in enumerate(order, 1)]


def test_one_thread_alone_hands_nothing_over() -> None:
    assert fingerprint(steps((0, 0), (0, 1), (0, 2))) == ""


def test_equal_orders_are_equal_and_other_ones_are_not() -> None:
    one = fingerprint(steps((0, 0), (1, 0), (0, 1), (1, 1)))
    assert one == fingerprint(steps((0, 0), (1, 0), (0, 1), (1, 1)))
    assert one != fingerprint(steps((1, 0), (0, 0), (1, 1), (0, 1)))


def test_it_is_a_set_of_who_follows_whom_and_how_far_ahead() -> None:
    there_and_back = fingerprint(steps((0, 0), (1, 0), (0, 1)))
    assert int(there_and_back, 16).bit_count() == 2
    assert there_and_back == fingerprint(steps((0, 4), (1, 4), (0, 5), (1, 5), (0, 6)))


def test_waves_do_not_hand_over_to_one_another() -> None:
    assert fingerprint([StepBegin(0, 0, 0, 1), StepBegin(1, 1, 0, 2)]) == ""


def test_a_plan_gives_its_slots_and_leaves_out_what_never_began() -> None:
    plan = Plan.make([(2, 2)])  # slots: thread 0 twice, then thread 1 twice
    assert plan.hand_overs([1, 3, 2, 4]) == fingerprint(steps((0, 0), (1, 0), (0, 1), (1, 1)))
    assert plan.hand_overs([1, 2, 0, 0]) == ""


@pytest.mark.parametrize("bad", ["", "0", "no number", "-3", "1" + "0" * 400])
def test_what_is_no_fingerprint_counts_for_nothing(bad: str) -> None:
    counts = HandOverCounts()
    counts.add(bad)
    assert counts.counts == (0, 0, 0)


def test_those_of_one_attempt_alone_are_counted_once() -> None:
    counts = HandOverCounts()
    for text in ("3", "6", "6"):
        counts.add(text)
    assert counts.counts == (3, 6, 1)  # 1 is in one attempt, 2 in three, 4 in two


def test_the_estimate_is_near_what_the_next_attempt_really_brings() -> None:
    """Sets drawn from a law with a long tail: what is said to be new against what is."""
    draw = random.Random(3)
    weights = [1 / (1 + place) for place in range(400)]

    def drawn() -> int:
        return sum(1 << place for place in set(draw.choices(range(400), weights, k=60)))

    said = came = 0.0
    for _ in range(200):
        counts, seen = HandOverCounts(), 0
        for _ in range(10):
            bits = drawn()
            counts.add(f"{bits:x}")
            seen |= bits
        bits = drawn()
        said += counts.once / counts.total
        came += (bits & ~seen).bit_count() / bits.bit_count()
    assert said == pytest.approx(came, rel=0.15)


def test_the_sentence_needs_two_attempts_to_compare() -> None:
    assert sentence([(1, 40, 40), (0, 0, 0)]) == ""
    told = sentence([(1, 40, 40), (5, 200, 20), (2, 50, 30)])
    assert told.startswith(
        "orders: in one more attempt about 20 % of the hand-overs between threads would be new"
    )
    assert "2 items; biased where" in told
