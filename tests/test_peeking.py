"""What is shown holds however one looks: simulated campaigns that are watched, and give their attempts to what fails."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest

from stress.commands.campaign.allocation import FLOOR
from stress.model import stats

Interval = Callable[[int, int], tuple[float, float]]

CAMPAIGNS = 10_000
ATTEMPTS = 400
RATES = np.array([0.005, 0.05, 0.3])


@functools.cache
def _histories() -> tuple[np.ndarray, np.ndarray]:
    """Return (failures, attempts) of each item after each attempt, [attempt, campaign, item].

    Half of the attempts go to all items alike, half to items in the ratio of their failures per attempt, as in
    `campaign`. So how often an item is tried depends on how often it failed.
    """
    draw = np.random.default_rng(18)
    rows = np.arange(CAMPAIGNS)
    failures = np.zeros((CAMPAIGNS, RATES.size), dtype=np.int64)
    attempts = np.zeros_like(failures)
    seen = np.zeros((2, ATTEMPTS, CAMPAIGNS, RATES.size), dtype=np.int16)
    for step in range(ATTEMPTS):
        gain = failures / np.maximum(attempts, 1)
        total = gain.sum(axis=1, keepdims=True)
        share = np.where(total > 0, gain / np.where(total > 0, total, 1), 1 / RATES.size)
        ends = np.cumsum(FLOOR / RATES.size + (1 - FLOOR) * share, axis=1)
        item = np.minimum((draw.random((CAMPAIGNS, 1)) > ends).sum(axis=1), RATES.size - 1)
        failures[rows, item] += draw.random(CAMPAIGNS) < RATES[item]
        attempts[rows, item] += 1
        seen[0, step], seen[1, step] = failures, attempts
    return seen[0], seen[1]


@functools.cache
def _visited(item: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the (failures, attempts) that were ever seen of an item, as one number, and which of them, [attempt, campaign]."""
    failures, attempts = (one[:, :, item].astype(np.int32) for one in _histories())
    keys, where = np.unique(failures * (ATTEMPTS + 1) + attempts, return_inverse=True)
    return keys, where.reshape(failures.shape)


def _ever_wrong(interval: Interval, item: int, *, clean: bool) -> float:
    """Return the share of campaigns in which what is shown of an item, with or without a failure, is ever wrong."""
    keys, where = _visited(item)
    wrong = np.zeros(keys.size, dtype=bool)
    for number, key in enumerate(keys.tolist()):
        k, n = divmod(key, ATTEMPTS + 1)
        if n and (k == 0) == clean:
            low, high = interval(k, n)
            wrong[number] = not low <= RATES[item] <= high
    return float(wrong[where].any(axis=0).mean())


@pytest.mark.parametrize("item", range(RATES.size))
def test_the_interval_covers_at_every_look_of_adaptive_campaigns(item: int) -> None:
    assert _ever_wrong(stats.rate_interval, item, clean=False) <= 0.05


@pytest.mark.parametrize("item", range(RATES.size))
def test_the_bound_without_a_failure_covers_at_every_look(item: int) -> None:
    assert _ever_wrong(lambda k, n: (0.0, stats.failure_rate_bound(n)), item, clean=True) <= 0.05


def test_an_interval_for_a_fixed_number_would_not() -> None:
    """Without this the simulation might be one in which nothing can go wrong."""
    assert max(_ever_wrong(stats.wilson, item, clean=False) for item in range(RATES.size)) > 0.2


@functools.cache
def _p_worse(a_fail: int, b_fail: int, n: int) -> float:
    return stats.fisher_one_sided(a_fail, n, b_fail, n)


@pytest.mark.parametrize(("adjusts", "least", "most"), [(False, 0.08, 1.0), (True, 0.0, 0.05)])
def test_runs_that_are_added_until_something_shows(adjusts: bool, least: float, most: float) -> None:
    """Two equal builds, a run of 20 attempts added to each side up to ten times, compared after each."""
    draw = np.random.default_rng(7)
    failures = np.cumsum(draw.binomial(20, 0.2, size=(2, 10, CAMPAIGNS)), axis=1)
    worse = np.zeros(CAMPAIGNS, dtype=bool)
    for runs in range(1, 11):
        factor = stats.looks_factor(2 * runs - 1) if adjusts else 1
        pairs = zip(*failures[:, runs - 1].tolist(), strict=True)
        worse |= np.array([factor * _p_worse(a, b, 20 * runs) < 0.05 for a, b in pairs])
    assert least <= worse.mean() <= most


def test_each_look_after_the_first_has_its_share_of_the_level() -> None:
    assert [stats.looks_factor(looks) for looks in (1, 2, 3, 4)] == [1, 2, 6, 12]
    assert sum(1 / stats.looks_factor(looks) for looks in range(2, 1000)) < 1
    with pytest.raises(ValueError, match="at least 1"):
        stats.looks_factor(0)
