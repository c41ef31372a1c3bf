"""What a throughput run may claim: pure arithmetic on made-up windows."""

from __future__ import annotations

import random

import pytest

from stress.commands.throughput import analysis
from stress.commands.throughput.analysis import Estimate
from stress.commands.throughput.catalogue import BATCHING
from stress.commands.throughput.catalogue import OTHER_BUILD
from stress.commands.throughput.catalogue import PROCESSES
from stress.commands.throughput.catalogue import THIS_BUILD
from stress.commands.throughput.catalogue import THREADS
from stress.commands.throughput.catalogue import WAYS
from stress.commands.throughput.catalogue import WorkloadCell
from stress.commands.throughput.catalogue import cells
from stress.commands.throughput.measurement import ThroughputMeasurement
from stress.commands.throughput.report import Setting
from stress.commands.throughput.report import json_text
from stress.commands.throughput.report import text

SETTING = Setting(
    "cpu", "torch 2.13", None, "x86_64, 2 cores, load 0.0", "2026-11-21 10:00 UTC", False, "runs/x"
)


def figures(rate_per_s: float, *, p99: bool = True) -> dict[str, object]:
    return {
        "rate_per_s": rate_per_s,
        "requests": 10,
        "latency_p50_s": 1 / rate_per_s,
        "latency_p99_s": 2 / rate_per_s if p99 else None,
        "checking_share": 0.05,
    }


def measured(rates: dict[WorkloadCell, list[float]]) -> ThroughputMeasurement:
    found = ThroughputMeasurement.of(list(rates))
    for cell, values in rates.items():
        found.data[cell].figures = dict(enumerate(map(figures, values)))
        found.data[cell].windows = len(values)
    found.rounds = max(map(len, rates.values()))
    return found


ALONE = WorkloadCell(THIS_BUILD, "linear", THREADS, 1)
OTHER = WorkloadCell(OTHER_BUILD, "linear", THREADS, 1)
THREADS_2 = WorkloadCell(THIS_BUILD, "linear", THREADS, 2)
PROCESSES_2 = WorkloadCell(THIS_BUILD, "linear", PROCESSES, 2)
BATCHING_2 = WorkloadCell(THIS_BUILD, "linear", BATCHING, 2)


class TestCells:
    def test_one_at_a_time_is_measured_once_and_always(self) -> None:
        found = cells(["linear"], list(WAYS), [2, 4], against=False)
        assert [(one.way, one.count) for one in found] == [
            (THREADS, 1),
            *((way, count) for count in (2, 4) for way in WAYS),
        ]

    def test_the_large_workload_is_measured_at_one_and_two(self) -> None:
        assert {one.count for one in cells(["large"], list(WAYS), [1, 2, 16], against=False)} == {1, 2}
        assert {one.count for one in cells(["large"], list(WAYS), [1, 16], against=False)} == {1, 2}
        assert {one.count for one in cells(["large"], list(WAYS), [1], against=False)} == {1}

    def test_the_other_build_is_measured_one_at_a_time(self) -> None:
        found = cells(["linear", "mlp"], list(WAYS), [1, 2], against=True)
        assert [(one.workload, one.count) for one in found if one.build == OTHER_BUILD] == [
            ("linear", 1),
            ("mlp", 1),
        ]


class TestComparisons:
    def test_equal_rates_under_noise_are_hardly_ever_ranked(self) -> None:
        draw = random.Random(7)
        ranked = 0
        for _ in range(400):
            rates = {
                cell: [draw.gauss(100, 10) for _ in range(11)]
                for cell in (ALONE, OTHER, THREADS_2, PROCESSES_2)
            }
            ranked += any(one.order for one in analysis.comparisons(measured(rates)))
        assert ranked <= 400 * 0.05 + 10  # 95 % over all comparisons of a run together

    def test_a_difference_beyond_the_noise_is_ranked_the_right_way_round(self) -> None:
        slow = [100.0 + one for one in range(8)]
        fast = [120.0 + one for one in range(8)]
        (one,) = analysis.comparisons(measured({THREADS_2: slow, PROCESSES_2: fast}))
        assert (one.left, one.order) == (THREADS_2, -1)
        (one,) = analysis.comparisons(measured({THREADS_2: fast, PROCESSES_2: slow}))
        assert (one.left, one.order) == (THREADS_2, 1)

    def test_noise_that_both_sides_share_does_not_hide_a_difference(self) -> None:
        machine = [1.0, 3.0, 0.5, 2.0, 1.5, 4.0, 0.7]
        rates = {THREADS_2: [100 * one for one in machine], PROCESSES_2: [110 * one for one in machine]}
        assert analysis.comparisons(measured(rates))[0].order == -1

    def test_too_few_rounds_rank_nothing(self) -> None:
        rates = {THREADS_2: [100.0] * 5, PROCESSES_2: [900.0] * 5}
        (one,) = analysis.comparisons(measured(rates))
        assert one.order == 0
        told = text(measured(rates), SETTING, width=120, color=False)
        assert "5 rounds are too few, nothing is ranked" in told
        assert "faster" not in told

    def test_more_comparisons_need_more_rounds(self) -> None:
        rounds = 6  # enough for one comparison at 95 %, not for three
        rates = {THREADS_2: [1.0] * rounds, PROCESSES_2: [9.0] * rounds}
        assert analysis.comparisons(measured(rates))[0].order
        assert not any(
            one.order for one in analysis.comparisons(measured({**rates, BATCHING_2: [5.0] * rounds}))
        )

    def test_a_void_side_is_not_compared(self) -> None:
        found = measured({THREADS_2: [100.0] * 8, PROCESSES_2: [900.0] * 8})
        found.data[PROCESSES_2].problems = ["MISMATCH: torn: thread 1 iteration 2: a mix"]
        (one,) = analysis.comparisons(found)
        assert one.ratio is None
        told = text(found, SETTING, width=120, color=False)
        assert "1 of 2 numbers are VOID" in told
        assert "VOID: throughput::this::linear::processes-2: 1 of 8 windows not right: MISMATCH: torn" in told
        assert "900" not in told


class TestEfficiency:
    @pytest.mark.parametrize(
        ("interval", "verdict"),
        [
            ((0.51, 0.7), "reached"),
            ((0.3, 0.49), "missed"),
            ((0.4, 0.6), "cannot be told"),
            (None, "cannot be told"),
        ],
    )
    def test_the_target_is_judged_by_the_interval(
        self, interval: tuple[float, float] | None, verdict: str
    ) -> None:
        assert analysis.target_verdict(Estimate(0.5, interval, 8)) == verdict

    def test_it_is_the_speed_up_per_thread(self) -> None:
        alone, two = (
            WorkloadCell(THIS_BUILD, "large", THREADS, 1),
            WorkloadCell(THIS_BUILD, "large", THREADS, 2),
        )
        found = measured({alone: [100.0] * 6, two: [150.0] * 6})
        line = analysis.lines(found)[1]
        assert line.efficiency is not None
        assert line.efficiency.median == pytest.approx(0.75)
        assert "efficiency at 2 threads: 75 % (75-75), target 50 %: reached" in text(
            found, SETTING, width=120, color=False
        )
        assert '"efficiency_at_2": "reached"' in json_text(found, SETTING)


def test_a_percentile_that_one_window_could_not_tell_is_not_shown() -> None:
    found = measured({ALONE: [100.0] * 6})
    assert analysis.lines(found)[0].latency_p99_s is not None
    found.data[ALONE].figures[3] = figures(100.0, p99=False)
    assert analysis.lines(found)[0].latency_p99_s is None


def test_the_chart_and_the_simulated_device_s_word() -> None:
    found = measured({ALONE: [100.0] * 6, THREADS_2: [200.0] * 6})
    simulated = Setting(**{**vars(SETTING), "device": "sim (simulated, not Metal)", "simulated": True})
    lines = text(found, simulated, width=120, color=False).splitlines()
    bars = [line.count("█") for line in lines if line.startswith(("one thread", "threads"))]
    assert bars == [8, 16]
    assert any("says nothing about Metal" in line for line in lines)
