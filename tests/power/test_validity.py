"""The two benchmarks that ask whether what stands on seeded faults holds: correlations, and searches over builds."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import bisect_builds
from benchmarks import validity
from stress.commands.bisect.search import Batch
from stress.commands.power.allocation import Entry
from stress.commands.power.runnable import resolve
from stress.device.sim.zoo import BY_NAME
from stress.model.verdict import Verdict

RISING = [0.0, 0.1, 0.2, 0.4, 0.5, 0.7, 0.9, 1.0]


def test_rates_that_rise_together_do_not_by_chance() -> None:
    r, chance = validity.correlation(RISING, [one / 2 for one in RISING], 1)
    assert r == pytest.approx(1.0)
    assert chance is not None
    assert chance < 0.001


def test_rates_that_have_nothing_to_do_with_each_other() -> None:
    r, chance = validity.correlation(RISING, [0.5, 0.1, 0.9, 0.1, 0.6, 0.2, 0.8, 0.3], 1)
    assert r is not None
    assert chance is not None
    assert abs(r) < 0.3
    assert chance > 0.2


def test_rates_that_never_change_have_no_correlation() -> None:
    assert validity.correlation(RISING, [1.0] * len(RISING), 1) == (None, None)


def test_the_table_has_a_row_for_each_pair() -> None:
    def rates(*failures: int) -> list[dict[str, Any]]:
        return [{"failures": one, "n": 10} for one in failures]

    found: list[dict[str, Any]] = [
        {"scenario": "copies.py::A", "params": {"n": "3"}, "fault": "f", "r": 0.912, "chance": 0.0003,
         "seeded": rates(1, 5), "real": rates(2, 9)},
        {"scenario": "copies.py::B", "params": {}, "fault": "f", "r": None, "chance": None,
         "seeded": rates(0, 0), "real": rates(10, 10)},
    ]  # fmt: skip
    assert validity.text(found).splitlines()[2:] == [
        "| `A[3]` | `f` | 6/20 | 11/20 | 2 | 0.91 | 0.0003 |",
        "| `B` | `f` | 0/20 | 20/20 | 2 | - | - |",
    ]


SHOWS_OTHERWISE = {
    "linalg": "CUDA's library raises where the fault crashes",
    "pressure": "the allocator's set of buffers crashes where the fault lets two tensors share memory",
}
"""Pair -> how its real bug and its fault differ in what they show."""


@pytest.mark.parametrize("pair", validity.PAIRS, ids=lambda one: str(one.name))
def test_every_pair_names_a_scenario_and_a_fault_that_there_are(pair: validity.Pair) -> None:
    assert resolve(Entry(pair.scenario, pair.params, threads=8)).workers >= 8
    shows_alike = BY_NAME[pair.fault].verdict in pair.verdicts
    assert shows_alike is (pair.name not in SHOWS_OTHERWISE)
    assert all(Verdict(one).is_failure for one in pair.verdicts)


def test_a_build_without_the_fault_never_fails_and_one_with_it_always_where_it_always_strikes() -> None:
    assert bisect_builds.attempts(3, 0.0, 1) == Batch(0, 3)
    assert bisect_builds.attempts(3, 1.0, 1) == Batch(3, 3)  # a process per attempt, by subprocess
