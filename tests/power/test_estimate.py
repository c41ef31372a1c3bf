"""Kill rates, what they decide, and when watching ends."""

from __future__ import annotations

import math
import random

import pytest

from stress.commands.power import estimate
from stress.commands.power.estimate import KillRate
from stress.commands.power.estimate import StopRule


class TestKilled:
    def test_what_is_needed(self) -> None:
        assert estimate.rate_needed(0.99999) == pytest.approx(11.5129 / 64, abs=1e-5)
        assert estimate.rate_needed(0.95) == pytest.approx(2.9957 / 64, abs=1e-5)

    def test_the_lower_bound_decides_and_not_the_rate(self) -> None:
        # 0.24 kills/s are above the 0.18 that are needed, their lower bound is not.
        rate = KillRate(12, 50.0, 0.0, ended_by_kill=True)
        assert rate.per_s > estimate.rate_needed(0.99999) > rate.bounds_per_s[0]
        assert not rate.is_killed()
        assert not rate.is_excluded()
        assert rate.is_killed(0.95)

    def test_twelve_kills_in_38_seconds_are_enough(self) -> None:
        assert estimate.seconds_to_decide(12, 0.0) == pytest.approx(38.49, abs=0.01)
        assert KillRate(12, 38.4, 0.0, ended_by_kill=True).is_killed()
        assert not KillRate(12, 38.6, 0.0, ended_by_kill=True).is_killed()

    def test_references_are_charged_in_proportion(self) -> None:
        free, charged = KillRate(12, 20.0, 0.0), KillRate(12, 20.0, 16.0)
        assert charged.per_s == pytest.approx(0.75 * free.per_s)
        assert charged.bounds_per_s[0] == pytest.approx(0.75 * free.bounds_per_s[0])
        assert estimate.seconds_to_decide(12, 16.0) == pytest.approx(
            0.75 * estimate.seconds_to_decide(12, 0.0)
        )

    def test_references_that_take_the_whole_budget_leave_nothing(self) -> None:
        assert KillRate(100, 1.0, 64.0).per_s == 0.0
        assert not KillRate(100, 1.0, 70.0).is_killed()

    def test_nothing_measured_is_nothing_known(self) -> None:
        rate = KillRate(0, 0.0, 1.0)
        assert rate.per_s == 0.0
        assert rate.bounds_per_s == (0.0, math.inf)
        assert not rate.is_killed()
        assert not rate.is_excluded()


class TestStopRule:
    def test_a_large_share_asks_for_more_kills(self) -> None:
        assert StopRule.for_share(40.0, 1.0).kills == 12
        assert StopRule.for_share(100.0, 1.0).kills == estimate.KILLS_MAX

    def test_a_small_share_still_asks_for_twelve(self) -> None:
        assert StopRule.for_share(10.0, 2.0) == StopRule(12, 8.0)

    def test_a_share_smaller_than_its_references_ends_at_once(self) -> None:
        rule = StopRule.for_share(1.0, 2.0)
        assert rule.ends(KillRate(0, 0.0, 2.0))

    def test_it_ends_at_its_kills_its_seconds_or_when_excluded(self) -> None:
        rule = StopRule(12, 100.0)
        assert not rule.ends(KillRate(11, 29.0, 0.0))
        assert rule.ends(KillRate(12, 2.0, 0.0))
        assert rule.ends(KillRate(11, 100.0, 0.0))
        # What cannot be killed at 99.999 % any more may still be at 95 %: 3 kills in 64 s.
        assert not rule.ends(KillRate(0, 63.0, 0.0))
        assert rule.ends(KillRate(0, 65.0, 0.0))

    @pytest.mark.parametrize("rate", [0.12, 0.17, 0.18])
    def test_a_fault_below_the_limit_is_called_killed_in_5_percent_at_most(self, rate: float) -> None:
        rule, draw, killed = StopRule.for_share(64.0, 2.0), random.Random(3), 0
        for _ in range(3000):
            elapsed, kills = 0.0, 0
            while not rule.ends(KillRate(kills, elapsed, 2.0)):
                gap = draw.expovariate(rate)
                elapsed, kills = (
                    (elapsed + gap, kills + 1) if elapsed + gap < rule.seconds else (rule.seconds, kills)
                )
            killed += KillRate(kills, elapsed, 2.0, ended_by_kill=kills >= rule.kills).is_killed()
        # The rate without references is what is drawn from; with them charged it is lower still.
        assert killed <= 0.05 * 3000 + 4 * math.sqrt(0.05 * 0.95 * 3000)
