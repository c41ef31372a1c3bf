"""The formulas equal scipy's, and the sentences claim no more than the numbers allow."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable

import pytest

from stress.model import stats

SIZES = (1, 2, 5, 20, 50, 200, 1000, 3000)
GRID = [(k, n) for n in SIZES for k in sorted({0, 1, 2, n // 3, n - 1, n}) if k <= n]


@pytest.mark.parametrize(("k", "n"), GRID)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_intervals_equal_scipy(k: int, n: int, confidence: float) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    result = scipy_stats.binomtest(k, n)

    expected = result.proportion_ci(confidence_level=confidence, method="wilson")
    assert stats.wilson(k, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-6)


@pytest.mark.parametrize("n", [1, 2, 20, 299, 2995, 10**6])
def test_bound_after_no_failure_equals_scipy(n: int) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    expected = scipy_stats.binomtest(0, n, alternative="less").proportion_ci(confidence_level=0.95).high
    assert stats.failure_rate_bound(n) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("a_fail", "a_n", "b_fail", "b_n"),
    [
        (2, 50, 9, 50),
        (0, 20, 0, 20),
        (0, 20, 20, 20),
        (20, 20, 0, 20),
        (3, 10, 7, 2000),
        (0, 0, 3, 5),
        (5, 700, 30, 900),
    ],
)
def test_fisher_equals_scipy(a_fail: int, a_n: int, b_fail: int, b_n: int) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    table = [[b_fail, b_n - b_fail], [a_fail, a_n - a_fail]]
    expected = scipy_stats.fisher_exact(table, alternative="greater").pvalue
    assert stats.fisher_one_sided(a_fail, a_n, b_fail, b_n) == pytest.approx(expected, abs=1e-6)


def test_fixed_values_that_need_no_scipy() -> None:
    assert stats.wilson(6, 200) == pytest.approx((0.013820, 0.063894), abs=1e-6)
    assert stats.failure_rate_bound(20) == pytest.approx(0.139108, abs=1e-6)
    assert stats.fisher_one_sided(2, 50, 9, 50) == pytest.approx(0.02556, abs=1e-6)


def test_fixed_needs_this_many_clean_attempts() -> None:
    assert stats.failure_rate_bound(299) < 0.01 <= stats.failure_rate_bound(298)


@pytest.mark.parametrize("interval", [stats.rate_interval, stats.wilson])
def test_the_ends_are_exact(interval: Callable[[int, int], tuple[float, float]]) -> None:
    assert interval(0, 7)[0] == 0.0
    assert interval(7, 7)[1] == 1.0
    assert interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("k", "n"), GRID)
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
def test_the_ends_of_the_interval_are_where_the_mixture_is_that_much_likelier(
    k: int, n: int, confidence: float
) -> None:
    """At a bound p, (the chance of k of n if the rate is drawn from Beta(1/2, 1/2)) / (that at p) = 1 / (1 - confidence)."""
    scipy_stats = pytest.importorskip("scipy.stats")
    low, high = stats.rate_interval(k, n, confidence)
    mixture = scipy_stats.betabinom.logpmf(k, n, 0.5, 0.5)
    for bound in [low] * (k > 0) + [high] * (k < n):
        ratio = mixture - scipy_stats.binom.logpmf(k, n, bound)
        assert ratio == pytest.approx(-math.log(1 - confidence), abs=1e-6)
    assert low <= k / n <= high


def test_no_attempt_is_no_knowledge() -> None:
    assert stats.failure_rate_bound(0) == 1.0


def test_large_counts_do_not_overflow() -> None:
    assert 0 < stats.fisher_one_sided(10, 5000, 40, 5000) < 1e-4


class TestHolm:
    def test_is_holms(self) -> None:
        assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
        assert stats.holm([0.5, 0.9]) == [1.0, 1.0]
        assert stats.holm([]) == []

    def test_is_never_below_bonferronis_share_and_never_falls_with_p(self) -> None:
        draw = random.Random(3)
        p_values = [draw.random() ** 4 for _ in range(200)]
        adjusted = stats.holm(p_values)
        pairs = sorted(zip(p_values, adjusted, strict=True))
        assert [one for _, one in pairs] == sorted(adjusted)
        assert all(p <= one <= min(1.0, 200 * p) for p, one in pairs)


class TestFisherWithManyAttempts:
    @pytest.mark.parametrize(
        "table",
        [(3000, 60_000, 3200, 60_000), (0, 4000, 9, 4000), (900, 3000, 10, 3000), (5000, 5000, 1, 5000)],
    )
    def test_equals_scipys(self, table: tuple[int, int, int, int]) -> None:
        fisher = pytest.importorskip("scipy.stats").fisher_exact
        a_fail, a_n, b_fail, b_n = table
        expected = fisher([[b_fail, b_n - b_fail], [a_fail, a_n - a_fail]], alternative="greater").pvalue
        assert stats.fisher_one_sided(*table) == pytest.approx(expected, abs=1e-6)

    def test_both_ways_of_computing_it_agree(self) -> None:
        for a_fail, b_fail in ((0, 0), (3, 17), (17, 3), (200, 150), (0, 150)):
            exact = stats.fisher_one_sided(a_fail, 200, b_fail, 150)
            assert stats.hypergeometric_tail(b_fail, 150, a_fail + b_fail, 350) == pytest.approx(
                exact, rel=1e-9
            )


class TestStrata:
    @pytest.mark.parametrize(
        "table", [(0, 20, 0, 20), (0, 20, 8, 20), (3, 10, 7, 2000), (2500, 4000, 2600, 4100), (0, 0, 3, 5)]
    )
    def test_one_stratum_is_fishers(self, table: tuple[int, int, int, int]) -> None:
        a_fail, a_n, b_fail, b_n = table
        more, less = stats.stratified_one_sided([table])
        tolerance = 1e-3 if a_fail + b_fail > 5_000 else 1e-9
        assert more == pytest.approx(stats.fisher_one_sided(*table), abs=tolerance)
        assert less == pytest.approx(stats.fisher_one_sided(b_fail, b_n, a_fail, a_n), abs=tolerance)

    def test_several_strata_equal_an_enumeration(self) -> None:
        tables = [(1, 5, 2, 4), (0, 3, 2, 6), (2, 4, 1, 9)]
        more = less = 0.0
        ranges = [range(min(b_n, a + b) + 1) for a, _, b, b_n in tables]
        for values in itertools.product(*ranges):
            chance = 1.0
            for k, (a, a_n, b, b_n) in zip(values, tables, strict=True):
                chance *= math.comb(b_n, k) * math.comb(a_n, a + b - k) / math.comb(a_n + b_n, a + b)
            more += chance * (sum(values) >= 5)
            less += chance * (sum(values) <= 5)
        assert stats.stratified_one_sided(tables) == pytest.approx((more, less), abs=1e-12)

    def test_a_failure_over_many_items_is_seen_where_no_item_shows_it(self) -> None:
        assert min(stats.holm([stats.fisher_one_sided(0, 10, 2, 10)] * 13)) > 0.9
        assert stats.stratified_one_sided([(0, 10, 2, 10)] * 13)[0] < 1e-8

    def test_unlike_shares_of_attempts_are_no_difference(self) -> None:
        """One item always fails and was tried more often in NEW: pooled counts would say WORSE."""
        tables = [(2, 2, 40, 40), (0, 40, 0, 2)]
        assert stats.fisher_one_sided(2, 42, 40, 42) < 1e-9
        assert stats.stratified_one_sided(tables) == (1.0, 1.0)

    def test_many_failures_are_taken_as_normal_and_agree_with_the_exact_sum(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tables = [(40 + number % 5, 200, 46 + number % 3, 190) for number in range(60)]
        normal = stats.stratified_one_sided(tables)
        monkeypatch.setattr(stats, "_EXACT_MAX", 10**6)
        assert normal == pytest.approx(stats.stratified_one_sided(tables), rel=0.02, abs=1e-6)

    def test_no_failure_says_nothing(self) -> None:
        assert stats.stratified_one_sided([]) == (1.0, 1.0)
        assert stats.stratified_one_sided([(0, 5, 0, 5)]) == (1.0, 1.0)


class TestAttemptsToTellApart:
    @pytest.mark.parametrize(
        ("low", "high", "alpha"), [(0.0, 0.1, 0.05), (0.1, 0.5, 0.05), (0.02, 0.1, 0.01), (0.5, 0.9, 0.001)]
    )
    def test_that_many_have_about_the_promised_power(self, low: float, high: float, alpha: float) -> None:
        """Add up the probability of every pair of counts that the test would reject."""
        binom = pytest.importorskip("scipy.stats").binom
        n = stats.attempts_to_tell_apart(low, high, alpha)
        a = binom.pmf(range(n + 1), n, low)
        b = binom.pmf(range(n + 1), n, high)
        power = 0.0
        for a_fail in range(n + 1):
            if a[a_fail] < 1e-9:
                continue
            rejected = next(
                (k for k in range(n + 1) if stats.fisher_one_sided(a_fail, n, k, n) <= alpha), n + 1
            )
            power += a[a_fail] * b[rejected:].sum()
        assert 0.75 < power < 0.9

    def test_rates_that_do_not_differ_are_refused(self) -> None:
        for low, high in ((0.1, 0.1), (0.2, 0.1), (-0.1, 0.5)):
            with pytest.raises(ValueError, match="low < high"):
                stats.attempts_to_tell_apart(low, high, 0.05)

    def test_the_largest_difference_needs_few(self) -> None:
        assert 2 <= stats.attempts_to_tell_apart(0.0, 1.0, 0.05) <= 5


@pytest.mark.parametrize(
    ("failures", "n", "sentence"),
    [
        (0, 20, "0 of 20 attempts failed: failure rate below 13.9 % at 95 %"),
        (6, 200, "6 of 200 attempts failed: 3.0 %, 95 % interval 0.5-9.1 %"),
        (0, 1, "0 of 1 attempt failed: failure rate below 95.0 % at 95 %"),
        (5, 5, "5 of 5 attempts failed: 100.0 %, 95 % interval 41.5-100.0 %"),
        (0, 10_000, "0 of 10000 attempts failed: failure rate below 0.03 % at 95 %"),
        (0, 0, "no attempt counts, so nothing can be said about the failure rate"),
    ],
)
def test_sentences(failures: int, n: int, sentence: str) -> None:
    assert stats.confidence_sentence(failures, n) == sentence


@pytest.mark.parametrize(("failures", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_impossible_counts_are_refused(failures: int, n: int) -> None:
    for call in (stats.rate_interval, stats.wilson, stats.confidence_sentence):
        with pytest.raises(ValueError, match="failures of"):
            call(failures, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_a_confidence_in_percent_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        stats.wilson(1, 5, confidence)


class TestPoissonRates:
    @pytest.mark.parametrize("events", [0, 1, 2, 5, 12, 18, 100, 1000])
    @pytest.mark.parametrize("confidence", [0.8, 0.95, 0.999])
    def test_bounds_equal_scipys_chi2(self, events: int, confidence: float) -> None:
        chi2 = pytest.importorskip("scipy.stats").chi2
        low = chi2.ppf(1 - confidence, 2 * events) / 2 / 30.0 if events else 0.0
        high = chi2.ppf(confidence, 2 * events + 2) / 2 / 30.0
        assert stats.poisson_rate_bounds(events, 30.0, confidence) == pytest.approx((low, high), rel=1e-9)
        if events:
            high = chi2.ppf(confidence, 2 * events) / 2 / 30.0
            bounds = stats.poisson_rate_bounds(events, 30.0, confidence, ended_by_event=True)
            assert bounds == pytest.approx((low, high), rel=1e-9)

    def test_fixed_values_that_need_no_scipy(self) -> None:
        assert stats.gamma_quantile(0.05, 12) == pytest.approx(6.924213, abs=1e-6)
        assert stats.poisson_rate_bounds(0, 10.0)[1] == pytest.approx(0.2995732, abs=1e-6)

    @pytest.mark.parametrize("rate", [0.1, 0.18, 0.25, 0.5, 2.0])
    def test_the_lower_bound_is_wrong_in_5_percent_at_most_when_kills_or_time_end_it(
        self, rate: float
    ) -> None:
        """Simulate "until 12 events or 40 s": the claim in the docstring, beside its proof."""
        draw = random.Random(7)
        wrong = 0
        for _ in range(4000):
            elapsed, events = 0.0, 0
            while events < 12:
                gap = draw.expovariate(rate)
                if elapsed + gap > 40.0:
                    elapsed = 40.0
                    break
                elapsed += gap
                events += 1
            wrong += stats.poisson_rate_bounds(events, elapsed)[0] > rate
        # 0.05 of 4,000 is 200 with a standard deviation of 14.
        assert wrong <= 200 + 4 * 14

    @pytest.mark.parametrize(
        ("events", "exposure", "by_event"), [(-1, 1.0, False), (1, 0.0, False), (0, 1.0, True)]
    )
    def test_nonsense_is_refused(self, events: int, exposure: float, by_event: bool) -> None:
        with pytest.raises(ValueError, match="no rate follows"):
            stats.poisson_rate_bounds(events, exposure, ended_by_event=by_event)


class TestMedianInterval:
    @pytest.mark.parametrize("n", [6, 7, 9, 20, 101])
    @pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
    def test_it_is_the_narrowest_pair_of_ranks_that_keeps_the_confidence(
        self, n: int, confidence: float
    ) -> None:
        binomial = pytest.importorskip("scipy.stats").binom
        found = stats.median_interval([float(one) for one in range(n)], confidence)
        cuts = [k for k in range(1, n // 2 + 1) if 2 * binomial.cdf(k - 1, n, 0.5) <= 1 - confidence]
        assert found == ((max(cuts) - 1.0, n - float(max(cuts))) if cuts else None)

    def test_too_few_values_allow_none(self) -> None:
        assert stats.median_interval([]) is None
        assert stats.median_interval([1.0] * 5) is None
        assert stats.median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]) == (1.0, 6.0)

    @pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 0.999, 1 - 0.05 / 51])
    def test_values_needed_is_where_it_begins(self, confidence: float) -> None:
        needed = stats.values_needed(confidence)
        assert stats.median_interval([1.0] * needed, confidence) is not None
        assert stats.median_interval([1.0] * (needed - 1), confidence) is None


class TestAttemptsThatShareAProcess:
    def test_both_counts_are_named_and_processes_are_claimed_from(self) -> None:
        sentence = stats.confidence_sentence(0, 100, processes=5)
        assert sentence == "0 of 100 attempts in 5 processes failed: failure rate below 45.1 % at 95 %"
        assert stats.confidence_sentence(0, 5, processes=1).startswith("0 of 5 attempts in 1 process failed")
        low, high = (stats.percent(one) for one in stats.rate_interval(2, 5))
        sentence = stats.confidence_sentence(2, 100, processes=5)
        assert sentence == f"2 of 100 attempts in 5 processes failed: 40.0 %, 95 % interval {low}-{high} %"

    def test_one_each_is_not_worth_a_word(self) -> None:
        assert stats.confidence_sentence(0, 5, processes=5) == stats.confidence_sentence(0, 5)
        assert stats.attempts_in(1, 1) == "1 attempt"
