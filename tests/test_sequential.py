"""The sequential test: its arithmetic is scipy's, and its error probabilities are those that it states."""

from __future__ import annotations

from collections import defaultdict

import pytest

from stress.model.sequential import ALPHA
from stress.model.sequential import BETA
from stress.model.sequential import Rates
from stress.model.sequential import SequentialTest
from stress.model.sequential import estimate

PARENTS = (0.05, 0.2, 0.5, 0.9, 1.0)
ATTEMPTS = 400


@pytest.mark.parametrize("parent", PARENTS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_the_likelihood_ratio_equals_scipy(parent: float, share: float) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    rates = Rates.below(parent, share)
    for n in (1, 7, 60):
        for failures in range(0, n + 1, 3):
            expected = scipy_stats.binom.logpmf(failures, n, rates.high) - scipy_stats.binom.logpmf(
                failures, n, rates.low
            )
            assert rates.log_ratio(failures, n) == pytest.approx(expected, abs=1e-6)


def ends(rates: Rates, true_rate: float, attempts: int = ATTEMPTS) -> tuple[float, float]:
    """Return P(keep) and P(drop) within so many attempts, exactly: by the distribution over (failures, n)."""
    kept = dropped = 0.0
    running = {0: 1.0}
    for n in range(1, attempts + 1):
        after: dict[int, float] = defaultdict(float)
        for failures, probability in running.items():
            after[failures + 1] += probability * true_rate
            after[failures] += probability * (1 - true_rate)
        running = {}
        for failures, probability in after.items():
            decision = SequentialTest(rates, failures=failures, n=n).decision
            kept += probability if decision is True else 0.0
            dropped += probability if decision is False else 0.0
            if decision is None:
                running[failures] = probability
    return kept, dropped


class TestErrors:
    @pytest.mark.parametrize("parent", PARENTS)
    def test_too_low_a_rate_is_kept_with_at_most_alpha(self, parent: float) -> None:
        rates = Rates.below(parent)
        for rate in (rates.low, rates.low / 2):
            assert ends(rates, rate)[0] <= ALPHA

    @pytest.mark.parametrize("parent", PARENTS)
    def test_high_enough_a_rate_is_dropped_with_at_most_beta(self, parent: float) -> None:
        rates = Rates.below(parent)
        for rate in (rates.high, min(1.0, parent)):
            assert ends(rates, rate)[1] <= BETA

    @pytest.mark.parametrize("parent", [0.2, 0.5, 0.9])
    def test_it_does_decide(self, parent: float) -> None:
        rates = Rates.below(parent)
        assert ends(rates, parent)[0] > 0.85
        assert ends(rates, 0.0)[1] == pytest.approx(1.0)


class TestDecisions:
    def test_nothing_is_decided_without_attempts(self) -> None:
        assert SequentialTest(Rates.below(0.5)).decision is None

    def test_counting(self) -> None:
        test = SequentialTest(Rates.below(0.9))
        while test.decision is None:
            test.add(True)
        assert test.decision is True
        assert test.failures == test.n <= 10

    @pytest.mark.parametrize(("parent", "share"), [(0.0, 0.5), (1.1, 0.5), (0.5, 0.0), (0.5, 1.0)])
    def test_rates_that_cannot_be(self, parent: float, share: float) -> None:
        with pytest.raises(ValueError, match="expected above 0"):
            Rates.below(parent, share)

    def test_an_estimate_is_never_0_or_1(self) -> None:
        assert estimate(0, 10) == pytest.approx(0.5 / 11)
        assert estimate(10, 10) == pytest.approx(10.5 / 11)
