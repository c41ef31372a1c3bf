"""Plans, orders and seeds: pure logic that every process must agree on."""

from __future__ import annotations

import pytest

from stress.model import seeds
from stress.model.plan import ORDERS
from stress.model.plan import Plan


class TestPlan:
    plan = Plan.make([(2, 3), (3, 2)])

    def test_every_iteration_of_every_thread_is_one_slot(self) -> None:
        assert len(self.plan.slots) == 2 * 3 + 3 * 2
        assert self.plan.workers == 5
        assert {slot.worker for slot in self.plan.slots} == set(range(5))

    @pytest.mark.parametrize("kind", ORDERS)
    def test_every_order_runs_everything_once_and_keeps_each_threads_order(self, kind: str) -> None:
        order = self.plan.order(kind, 5)
        assert sorted(order) == list(range(len(self.plan.slots)))
        for worker in range(5):
            own = [self.plan.slots[i].iteration for i in order if self.plan.slots[i].worker == worker]
            assert own == sorted(own)
        waves = [self.plan.slots[i].wave for i in order]
        assert waves == sorted(waves)

    def test_the_three_orders_differ(self) -> None:
        assert len({tuple(self.plan.order(kind, 5)) for kind in ORDERS}) == 3

    @pytest.mark.parametrize("waves", [[], [(0, 1)], [(1, 0)]])
    def test_a_plan_that_runs_nothing_is_refused(self, waves: list[tuple[int, int]]) -> None:
        with pytest.raises(ValueError, match="waves"):
            Plan.make(waves)


class TestSeeds:
    def test_seeds_are_stable_across_versions(self) -> None:
        """A recorded seed must mean the same next year."""
        assert seeds.derive(42, "input", 0, 1) == 7074688892406121356

    def test_parts_do_not_run_together(self) -> None:
        assert len({seeds.derive(0, "ab", "c"), seeds.derive(0, "a", "bc"), seeds.derive(0, "abc")}) == 3
