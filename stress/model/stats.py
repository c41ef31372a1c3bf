"""Failure rates and what may be claimed from them: intervals, Fisher, Holm, Poisson, confidence sentences.

Standard library only: scipy is a wheel of 35 MB for four formulas (the tests compare with it). The unit of
every `n` here is a process: iterations in one process share caches and are not independent, nor are its attempts,
where it has served several.
A failure rate is shown with `rate_interval`, which holds however often it is looked at, whenever one stops, and however
attempts are given to items. So does `failure_rate_bound`, what no failure in `n` attempts excludes. `wilson` is narrower,
and only for a number of trials that no result could change, such as the faults of `power`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from collections.abc import Sequence
from statistics import NormalDist

CONFIDENCE_DEFAULT = 0.95

Table = tuple[int, int, int, int]
"""(failures of a, attempts of a, failures of b, attempts of b)."""

_EXACT_MAX = 5_000  # Above, Fisher's test takes logarithms, and a sum over strata is taken as normal.
_NEGLIGIBLE = 1e-60  # A chance below this, beside the most likely value, is not carried on.
_BISECTIONS = 100  # Halving [0, 1] this often is below one ulp of any rate worth printing.


@functools.lru_cache(maxsize=4096)  # a page draws the same few counts again and again
def rate_interval(failures: int, n: int, confidence: float = CONFIDENCE_DEFAULT) -> tuple[float, float]:
    """Return the two-sided interval of a rate, valid at all `n` at once; (0, 1) when nothing was tried.

    Robbins' confidence sequence (1970): the rates p at which the beta-binomial mixture's likelihood, with Jeffreys' prior
    Beta(1/2, 1/2), is less than 1 / (1 - confidence) times that of p. At the true p the ratio is a martingale that begins
    with 1, so by Ville's inequality it ever gets there with probability 1 - confidence at most: the interval may be
    looked at after every attempt, and stopping, or turning to another item, may depend on what was seen.
    """
    _check(failures, n, confidence)
    if n == 0:
        return (0.0, 1.0)
    passes, rate = n - failures, failures / n
    mixture = _log_beta(failures + 0.5, passes + 0.5) - _log_beta(0.5, 0.5)
    least = mixture + math.log(1 - confidence)

    def likely(p: float) -> float:
        """Return by how much p is too likely to be excluded; it rises up to `rate` and falls behind it."""
        log_failed = failures * math.log(p) if failures else 0.0
        return log_failed + (passes * math.log1p(-p) if passes else 0.0) - least

    low = rate * _root(lambda share: likely(share * rate)) if failures else 0.0
    high = rate + (1 - rate) * _root(lambda share: -likely(rate + share * (1 - rate))) if passes else 1.0
    return (low, min(1.0, high))


def wilson(successes: int, n: int, confidence: float = CONFIDENCE_DEFAULT) -> tuple[float, float]:
    """Return the two-sided Wilson score interval of a share of `n`, which nothing seen on the way may have changed."""
    _check(successes, n, confidence)
    if n == 0:
        return (0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / n
    scale = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    # The ends are exact in arithmetic without rounding; a bound of -1e-17 would print as "-0.0 %".
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return (low, high)


def failure_rate_bound(n: int, confidence: float = CONFIDENCE_DEFAULT) -> float:
    """Return the one-sided upper bound of the failure rate after 0 failures in `n` attempts.

    It is valid at all `n` at once, as it is: let m be the smallest n whose bound is below the true rate. Whoever is ever
    shown a wrong bound has seen the first m attempts pass, and that has probability 1 - `confidence` at most.
    """
    _check(0, n, confidence)
    if n == 0:
        return 1.0
    return -math.expm1(math.log1p(-confidence) / n)


def fisher_one_sided(a_fail: int, a_n: int, b_fail: int, b_n: int) -> float:
    """Return the p-value of "b fails more often than a": P(b has this share of the failures or more)."""
    _check(a_fail, a_n, 0.5)
    _check(b_fail, b_n, 0.5)
    failures = a_fail + b_fail
    if a_n + b_n > _EXACT_MAX:
        return hypergeometric_tail(b_fail, b_n, failures, a_n + b_n)
    tables = math.comb(a_n + b_n, failures)
    extreme = sum(
        math.comb(b_n, k) * math.comb(a_n, failures - k) for k in range(b_fail, min(b_n, failures) + 1)
    )
    # Integers until here: a float of either number overflows at a few hundred attempts.
    return extreme / tables


def stratified_one_sided(tables: Sequence[Table]) -> tuple[float, float]:
    """Return the p-values of "b fails more often than a" and of "less often", over strata that are never pooled.

    Each table is (failures of a, attempts of a, failures of b, attempts of b). The exact conditional form of the
    Cochran-Mantel-Haenszel test: given how many failed in each stratum, b's share there is hypergeometric, and the sum
    of the shares is what is tested. A stratum without a failure adds nothing. With more than `_EXACT_MAX` failures the
    sum is taken as normal, with the continuity correction. One table gives Fisher's test.
    """
    seen = failures = 0
    mean = variance = 0.0
    for a_fail, a_n, b_fail, b_n in tables:
        _check(a_fail, a_n, 0.5)
        _check(b_fail, b_n, 0.5)
        marked, total = a_fail + b_fail, a_n + b_n
        if marked:
            seen += b_fail
            failures += marked
            mean += marked * b_n / total
            variance += marked * (b_n / total) * (a_n / total) * (total - marked) / max(1, total - 1)
    if failures > _EXACT_MAX and variance > 0:
        spread = NormalDist(mean, math.sqrt(variance))
        return (1 - spread.cdf(seen - 0.5), spread.cdf(seen + 0.5))
    least, chances = 0, [1.0]
    for a_fail, a_n, b_fail, b_n in tables:
        if a_fail + b_fail:
            start, own = _hypergeometric(b_n, a_fail + b_fail, a_n + b_n)
            least, chances = _kept(least + start, _sum_of(chances, own))
    more = math.fsum(chance for value, chance in enumerate(chances, least) if value >= seen)
    less = math.fsum(chance for value, chance in enumerate(chances, least) if value <= seen)
    return (min(1.0, more), min(1.0, less))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down adjusted p-values, in the given order: rejecting those below alpha keeps the
    probability of any wrong rejection among all of them below alpha."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def looks_factor(looks: int) -> int:
    """Return what a p-value is multiplied by, of fixed-n tests that were made as often as `looks` while data were added.

    The first one is at its own level. All later ones share the level once more: look r has 1 / (r (r - 1)) of it, and
    that adds up to 1. No assumption about how much was added, or why.
    """
    if looks < 1:
        raise ValueError(f"{looks} looks: expected at least 1")
    return max(1, looks * (looks - 1))


def attempts_to_tell_apart(low: float, high: float, alpha: float, power: float = 0.8) -> int:
    """Return about how many attempts each side needs for Fisher's one-sided test to tell two rates apart.

    `low` < `high` are the true rates, `alpha` the level of the test, `power` the wanted probability of seeing it.
    Casagrande, Pike and Smith (1978): the sample size of the normal approximation with their correction for
    Fisher's test being exact.
    """
    if not 0 <= low < high <= 1:
        raise ValueError(f"rates {low} and {high}: expected 0 <= low < high <= 1")
    _check(0, 0, alpha)
    _check(0, 0, power)
    mean = (low + high) / 2
    difference = high - low
    spread = NormalDist().inv_cdf(1 - alpha) * math.sqrt(2 * mean * (1 - mean))
    spread += NormalDist().inv_cdf(power) * math.sqrt(low * (1 - low) + high * (1 - high))
    uncorrected = spread * spread / (difference * difference)
    if uncorrected <= 0:
        return 1
    return math.ceil(uncorrected / 4 * (1 + math.sqrt(1 + 4 / (uncorrected * difference))) ** 2)


def median_interval(
    values: Sequence[float], confidence: float = CONFIDENCE_DEFAULT
) -> tuple[float, float] | None:
    """Return the rank (sign test) interval of a distribution's median; None where so few values allow none.

    Exact whatever the distribution is, if the values are independent: the k-th smallest of n lies above the median with
    the probability that fewer than k of n coins show heads. 6 values are needed for 95 %.
    """
    _check(0, 0, confidence)
    n = len(values)
    # Integers until the comparison, so that no rounding decides at the edge.
    tail, cut = 0, 0
    for k in range(n // 2 + 1):
        tail += math.comb(n, k)
        if 2 * tail / 2**n > 1 - confidence + 1e-12:
            break
        cut = k + 1
    if not cut:
        return None
    ordered = sorted(values)
    return (ordered[cut - 1], ordered[n - cut])


def values_needed(confidence: float = CONFIDENCE_DEFAULT) -> int:
    """Return how many values `median_interval` needs at least."""
    _check(0, 0, confidence)
    return math.ceil(1 - math.log2(1 - confidence) - 1e-9)


def poisson_rate_bounds(
    events: int, exposure: float, confidence: float = CONFIDENCE_DEFAULT, *, ended_by_event: bool = False
) -> tuple[float, float]:
    """Return the exact lower and upper bound of a Poisson process's rate, each one-sided at `confidence`.

    `ended_by_event` is inverse sampling: watching ended with the last of a number of events that was fixed
    beforehand. Otherwise the exposure was fixed (Garwood's interval). The lower bounds of both are the same
    formula, chi2(1 - confidence, 2 events) / 2 / exposure, and it also holds for "until K events or time B,
    whichever comes first": let k be the smallest count whose bound at B is above the true rate. If k <= K,
    the bound is wrong only where the k-th event came before B, in fact before the time that makes its own
    bound wrong; else only where the K-th came that early. Either has at most probability 1 - confidence.
    """
    _check(0, 0, confidence)
    if events < 0 or not exposure > 0 or (ended_by_event and not events):
        raise ValueError(f"{events} events in {exposure}: no rate follows from that")
    low = gamma_quantile(1 - confidence, events) / exposure if events else 0.0
    high = gamma_quantile(confidence, events if ended_by_event else events + 1) / exposure
    return (low, high)


@functools.lru_cache(maxsize=1024)  # a watcher asks for the same few after every attempt
def gamma_quantile(probability: float, shape: int) -> float:
    """Return x with P(X <= x) = `probability` for X the sum of `shape` unit exponentials (chi2(2 shape) / 2)."""
    if shape < 1 or not 0 < probability < 1:
        raise ValueError(f"quantile {probability} of a gamma distribution of shape {shape}")
    high = float(shape)
    while _gamma_cdf(high, shape) < probability:
        high *= 2
    return high * _root(lambda share: _gamma_cdf(share * high, shape) - probability)


def confidence_sentence(
    failures: int, n: int, confidence: float = CONFIDENCE_DEFAULT, *, processes: int | None = None
) -> str:
    """Return what `failures` of `n` attempts in so many processes (`n` by default) allow to say, in one sentence.

    Attempts of one process share its caches and its fate, so that the processes are what is claimed from.
    """
    _check(failures, n, confidence)
    level = f"{100 * confidence:g} %"
    if n == 0:
        return "no attempt counts, so nothing can be said about the failure rate"
    units = n if processes is None else processes
    attempts = attempts_in(n, units)
    if failures == 0:
        bound = percent(failure_rate_bound(units, confidence))
        return f"0 of {attempts} failed: failure rate below {bound} % at {level}"
    low, high = rate_interval(failures, units, confidence)
    interval = f"{percent(low)}-{percent(high)}"
    return f"{failures} of {attempts} failed: {percent(failures / units)} %, {level} interval {interval} %"


def interval_text(failures: int, n: int) -> str:
    """Return the 95 % interval of a rate, as in "11.2-46.9 %"."""
    low, high = rate_interval(failures, n)
    return f"{100 * low:.1f}-{100 * high:.1f} %"


def attempts_in(attempts: int, processes: int) -> str:
    """Return "5 attempts", or "5 attempts in 2 processes" where some shared one."""
    told = "1 attempt" if attempts == 1 else f"{attempts} attempts"
    if processes >= attempts:
        return told
    return f"{told} in {'1 process' if processes == 1 else f'{processes} processes'}"


def hypergeometric_tail(least: int, draws: int, marked: int, total: int) -> float:
    """Return P(X >= least) for the marked ones among `draws` out of `total`, by logarithms: exact integers of
    hundreds of thousands of bits take minutes."""
    most = min(draws, marked)
    start = max(least, draws + marked - total, 0)
    if start > most:
        return 0.0
    all_tables = _log_comb(total, draws)
    terms = (
        math.exp(_log_comb(marked, k) + _log_comb(total - marked, draws - k) - all_tables)
        for k in range(start, most + 1)
    )
    return min(1.0, math.fsum(terms))


def _check(failures: int, n: int, confidence: float) -> None:
    if not 0 <= failures <= n:
        raise ValueError(f"{failures} failures of {n} attempts: expected 0 <= failures <= attempts")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")


def _hypergeometric(draws: int, marked: int, total: int) -> tuple[int, list[float]]:
    """Return (the first value, the chances from there) of the number of marked ones among `draws` out of `total`.

    By the ratios of neighbours from the most likely value outwards: no number gets too large or too small.
    """
    low, high = max(0, draws + marked - total), min(draws, marked)
    start = min(high, max(low, (draws + 1) * (marked + 1) // (total + 2)))
    above, below = [1.0], []
    for k in range(start, high):
        above.append(above[-1] * (draws - k) * (marked - k) / ((k + 1) * (total - draws - marked + k + 1)))
        if above[-1] < _NEGLIGIBLE:
            break
    chance = 1.0
    for k in range(start, low, -1):
        chance *= k * (total - draws - marked + k) / ((draws - k + 1) * (marked - k + 1))
        below.append(chance)
        if chance < _NEGLIGIBLE:
            break
    all_of_them = math.fsum([*above, *below])
    return start - len(below), [one / all_of_them for one in [*reversed(below), *above]]


def _sum_of(a: Sequence[float], b: Sequence[float]) -> list[float]:
    """Return the chances of the sum of two independent numbers."""
    found = [0.0] * (len(a) + len(b) - 1)
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            found[i + j] += one * other
    return found


def _kept(least: int, chances: list[float]) -> tuple[int, list[float]]:
    """Return them without the ends that are negligible."""
    first = next(number for number, one in enumerate(chances) if one >= _NEGLIGIBLE)
    last = next(number for number, one in enumerate(reversed(chances)) if one >= _NEGLIGIBLE)
    return least + first, chances[first : len(chances) - last]


def _log_comb(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _gamma_cdf(x: float, shape: int) -> float:
    """Return P(X <= x), x > 0: at least `shape` events of a unit Poisson process came before x."""
    log_x = math.log(x)
    return 1.0 - math.fsum(math.exp(i * log_x - x - math.lgamma(i + 1)) for i in range(shape))


def _root(rising: Callable[[float], float]) -> float:
    """Return where a function that rises from below to above 0 on (0, 1) crosses it."""
    low = 0.0
    high = 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def percent(rate: float) -> str:
    """Format a rate in percent with one decimal, and with more where one would say 0.0."""
    percent = 100 * rate
    return f"{percent:.1f}" if percent == 0 or percent >= 0.1 else f"{percent:.2g}"
