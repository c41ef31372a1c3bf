"""The trend test: growth is found, noise and outliers are not growth, and how often it errs."""

from __future__ import annotations

import random

import pytest

from stress.scenario import growth


class TestThePValue:
    @pytest.mark.parametrize(
        ("values", "p_value"),
        [
            # scipy.stats.kendalltau(range(n), values, method="asymptotic", alternative="greater"), less the
            # continuity correction of 1 that Mann and Kendall make: (S - 1) / sd.
            ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 4.15e-05),
            ([5, 5, 5, 5], 1.0),
            ([4, 3, 2, 1], 1.0),
            ([1, 3, 2, 4], 0.1542),
        ],
    )
    def test_is_that_of_mann_and_kendall(self, values: list[float], p_value: float) -> None:
        assert growth.growth_p_value(values) == pytest.approx(p_value, rel=0.01)

    def test_ties_make_it_less_certain(self) -> None:
        assert growth.growth_p_value([1, 1, 1, 2, 2, 2]) > growth.growth_p_value([1, 2, 3, 4, 5, 6])

    def test_errs_no_more_often_than_it_says(self) -> None:
        draw = random.Random(7)
        alarms = sum(growth.growth_p_value([draw.random() for _ in range(16)]) < 0.01 for _ in range(2000))
        assert alarms <= 34  # 20 expected; 34 is three standard deviations more


class TestTheSlope:
    def test_is_the_median_over_all_pairs(self) -> None:
        assert growth.slope([0, 10, 20, 30, 40]) == 10

    def test_an_outlier_does_not_move_it(self) -> None:
        assert growth.slope([5, 5, 5, 900, 5, 5, 5]) == 0

    def test_of_one_value_is_none(self) -> None:
        assert growth.slope([3]) == 0


class TestGrowth:
    def test_of_a_leak_under_noise_is_found(self) -> None:
        draw = random.Random(3)
        assert growth.grows([100 * round_ + draw.uniform(0, 300) for round_ in range(16)], slope_min=50)

    def test_a_cache_that_fills_once_is_none(self) -> None:
        assert not growth.grows([0, 500, 500, 500, 500, 500, 500, 500, 500, 500], slope_min=1)

    def test_certain_but_small_is_none(self) -> None:
        assert not growth.grows(list(range(16)), slope_min=2)
