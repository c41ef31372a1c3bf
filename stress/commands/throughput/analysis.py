"""Conclusions from the windows: medians with rank intervals, and comparisons that the noise separates. Pure.

Windows of one round are paired: they ran within seconds of each other, so that what slows the whole machine slows
both sides. A comparison is the median over the rounds of the ratio of the two rates, with its exact rank interval.
All comparisons of a run are one family: each is made at 1 - 0.05 / how many there are (Bonferroni), so that all of
them hold together at 95 %. With too few rounds for that, nothing is ranked.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stress.commands.throughput.catalogue import OTHER_BUILD
from stress.commands.throughput.catalogue import THREADS
from stress.commands.throughput.catalogue import WorkloadCell
from stress.commands.throughput.measurement import CellData
from stress.commands.throughput.measurement import ThroughputMeasurement
from stress.model import stats

CONFIDENCE = stats.CONFIDENCE_DEFAULT
EFFICIENCY_TARGET = 0.5


@dataclass(frozen=True)
class Estimate:
    """A median over rounds; without an interval where there are too few of them."""

    median: float
    interval: tuple[float, float] | None
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float], confidence: float = CONFIDENCE) -> Estimate | None:
        """Return the estimate; None without a value."""
        if not values:
            return None
        return cls(statistics.median(values), stats.median_interval(values, confidence), len(values))

    def to_data(self) -> dict[str, object]:
        return {
            "median": self.median,
            "interval": list(self.interval) if self.interval else None,
            "rounds": self.rounds,
        }


@dataclass(frozen=True)
class Comparison:
    """How many times as fast the left side is as the right one."""

    left: WorkloadCell
    right: WorkloadCell
    ratio: Estimate | None
    """None where the two have no round in common."""

    @property
    def order(self) -> int:
        """Return 1 where the left side is faster, -1 where the right one is, 0 where they cannot be told apart."""
        if self.ratio is None or self.ratio.interval is None:
            return 0
        low, high = self.ratio.interval
        return 1 if low > 1 else -1 if high < 1 else 0

    def to_data(self) -> dict[str, object]:
        return {
            "left": vars(self.left),
            "right": vars(self.right),
            "ratio": self.ratio.to_data() if self.ratio else None,
            "verdict": {1: "left faster", -1: "right faster", 0: "cannot be told apart"}[self.order],
        }


@dataclass(frozen=True)
class Line:
    """One cell's figures."""

    cell: WorkloadCell
    rate_per_s: Estimate | None
    speed_up: Estimate | None
    """Against one request at a time."""
    latency_p50_s: Estimate | None
    latency_p99_s: Estimate | None
    void: str
    """Why the number is void; "" where it is not."""

    @property
    def efficiency(self) -> Estimate | None:
        """Return the speed-up divided by the number of requests at once."""
        if self.speed_up is None:
            return None
        count, speed_up = self.cell.count, self.speed_up
        interval = speed_up.interval and (speed_up.interval[0] / count, speed_up.interval[1] / count)
        return Estimate(speed_up.median / count, interval, speed_up.rounds)

    def to_data(self) -> dict[str, object]:
        named = {
            name: getattr(self, name)
            for name in ("rate_per_s", "speed_up", "efficiency", "latency_p50_s", "latency_p99_s")
        }
        return {
            **vars(self.cell),
            **{name: one.to_data() if one else None for name, one in named.items()},
            "void": self.void or None,
        }


def lines(measured: ThroughputMeasurement) -> list[Line]:
    """Return the figures of every cell; a void one has none."""
    return [_line(measured, cell) for cell in measured.cells]


def _line(measured: ThroughputMeasurement, cell: WorkloadCell) -> Line:
    data = measured.data[cell]
    if data.is_void:
        wrong = f"{len(data.problems)} of {max(data.windows, 1)} windows not right: {data.problems[0]}"
        return Line(cell, None, None, None, None, wrong)
    alone = measured.data.get(WorkloadCell(cell.build, cell.workload, THREADS, 1))
    speed_up = Estimate.of(_ratios(data, alone)) if alone and not alone.is_void and cell.count > 1 else None
    return Line(
        cell,
        Estimate.of(_values(data, "rate_per_s")),
        speed_up,
        Estimate.of(_values(data, "latency_p50_s")),
        Estimate.of(_values(data, "latency_p99_s")),
        "",
    )


def _values(data: CellData, name: str) -> list[float]:
    """Return one figure of every round; none at all where a window was too short for it."""
    values = [one[name] for one in data.figures.values()]
    return [] if None in values else values


def _ratios(left: CellData, right: CellData) -> list[float]:
    both = sorted(left.figures.keys() & right.figures.keys())
    return [_rate(left.figures[one]) / _rate(right.figures[one]) for one in both]


def _rate(figures: Mapping[str, Any]) -> float:
    return float(figures["rate_per_s"])


def pairs(cells: Sequence[WorkloadCell]) -> list[tuple[WorkloadCell, WorkloadCell]]:
    """Return what is compared: two builds one request at a time, and the ways with each other at equal counts."""
    found = [
        (cell, other)
        for cell in cells
        for other in cells
        if other.build == OTHER_BUILD
        and cell.build != OTHER_BUILD
        and (cell.workload, cell.way, cell.count) == (other.workload, other.way, other.count)
    ]
    groups: dict[tuple[str, int], list[WorkloadCell]] = {}
    for cell in cells:
        if cell.count > 1:
            groups.setdefault((cell.workload, cell.count), []).append(cell)
    return found + [pair for group in groups.values() for pair in itertools.combinations(group, 2)]


def confidence_each(count: int) -> float:
    """Return the confidence of each of so many comparisons, for 95 % over all of them."""
    return 1 - (1 - CONFIDENCE) / max(1, count)


def comparisons(measured: ThroughputMeasurement) -> list[Comparison]:
    """Compare all pairs; those with a void side say nothing."""
    wanted = pairs(measured.cells)
    confidence = confidence_each(len(wanted))
    return [
        Comparison(left, right, _compared(measured.data[left], measured.data[right], confidence))
        for left, right in wanted
    ]


def _compared(left: CellData, right: CellData, confidence: float) -> Estimate | None:
    if left.is_void or right.is_void:
        return None
    return Estimate.of(_ratios(left, right), confidence)


def target_verdict(efficiency: Estimate | None) -> str:
    """Return whether the efficiency at 2 reaches its target: "reached", "missed" or "cannot be told"."""
    if efficiency is None or efficiency.interval is None:
        return "cannot be told"
    low, high = efficiency.interval
    if low >= EFFICIENCY_TARGET:
        return "reached"
    return "missed" if high < EFFICIENCY_TARGET else "cannot be told"
