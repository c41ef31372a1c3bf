"""The time budget: every item has its attempt before any has a second one that the others would pay for."""

from __future__ import annotations

import random

from stress.plugin.time_budget import Budget


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def spend(budget: Budget, clock: Clock, items: list[tuple[float, float]], attempts: int) -> list[int]:
    """Run items of (seconds until their first attempt is done, seconds of each further one); return their attempts."""
    budget.items_left = len(items)
    budget.begin()
    made = []
    for first_s, more_s in items:
        budget.begin_item()
        left_s = budget.left_s
        if left_s is not None and left_s <= 0:
            made.append(0)
            continue
        begun = clock.now
        clock.now += first_s
        limit_s = budget.item_limit_s(first_s, (attempts - 1) * more_s)
        done = 1
        while done < attempts and (limit_s is None or clock.now - begun < limit_s):
            clock.now += more_s
            done += 1
        made.append(done)
    return made


def some_items() -> list[tuple[float, float]]:
    draw = random.Random(3)
    return [
        (seconds, seconds / 2) for seconds in (draw.choice([0.3, 0.3, 0.5, 1.0, 4.0]) for _ in range(150))
    ]


class TestABudget:
    def test_that_just_suffices_leaves_no_item_out(self) -> None:
        items = some_items()
        clock = Clock()
        budget = Budget(1.15 * sum(first_s for first_s, _ in items), clock)
        made = spend(budget, clock, items, 5)
        assert min(made) == 1
        assert sum(made) > len(items)

    def test_that_is_large_gives_the_rest_to_more_attempts(self) -> None:
        items = some_items()
        clock = Clock()
        seconds = 2.5 * sum(first_s for first_s, _ in items)
        made = spend(Budget(seconds, clock), clock, items, 50)
        assert min(made) >= 2
        assert 0.8 * seconds < clock.now < 1.05 * seconds

    def test_that_suffices_cuts_no_item_short(self) -> None:
        """Dear items come first, as in the shipped scenarios: by equal shares they got a part of their attempts."""
        items = [(3.6, 0.9), (2.8, 0.7), *((0.6, 0.2), (1.0, 0.3)) * 60]
        clock = Clock()
        whole_s = sum(first_s + 4 * more_s for first_s, more_s in items)
        assert spend(Budget(1.25 * whole_s, clock), clock, items, 5) == [5] * len(items)

    def test_that_is_too_small_is_spent_on_first_attempts(self) -> None:
        items = [(1.0, 0.5)] * 20
        clock = Clock()
        assert spend(Budget(10.0, clock), clock, items, 5) == [1] * 10 + [0] * 10

    def test_of_none_limits_nothing(self) -> None:
        clock = Clock()
        assert spend(Budget(None, clock), clock, [(1.0, 1.0)] * 3, 5) == [5] * 3

    def test_begins_with_the_first_item(self) -> None:
        """Before that a device may be built, once: what that takes must not leave items out."""
        clock = Clock()
        budget = Budget(10.0, clock)
        clock.now = 60.0
        assert budget.left_s == 10.0
        budget.begin()
        clock.now = 61.0
        assert budget.left_s == 9.0

    def test_has_time_for_more_items_than_were_expected(self) -> None:
        """A worker of xdist expects an equal share of the items; the quickest one gets more."""
        clock = Clock()
        budget = Budget(100.0, clock)
        budget.items_left = 1
        budget.begin()
        for _ in range(3):
            budget.begin_item()
            clock.now += 1.0
            limit_s = budget.item_limit_s(1.0, 1000.0)
            assert limit_s is not None
            assert limit_s > 50.0
