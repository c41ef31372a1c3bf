"""Throughput of two builds, from runs that measured both in interleaved rounds (`mps-stress throughput --against`).

Rounds that were not interleaved are not compared: the machine was another one by then (warmer, busier), and a ratio
of their medians would say so in the name of the patch.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from stress.model import stats
from stress.record.aggregate import DeviceKind
from stress.record.aggregate.throughput import Throughput

CONFIDENCE = stats.CONFIDENCE_DEFAULT
THIS_BUILD, OTHER_BUILD = "this", "other"
SLOWER = "SLOWER"


@dataclass(frozen=True)
class Speed:
    """How many times as fast the tested build is as the one that it was run against, over the rounds of both."""

    run: str
    kind: DeviceKind
    workload: str
    way: str
    count: int
    ratio: float
    interval: tuple[float, float] | None
    """None: too few rounds for the confidence that so many comparisons need."""
    rounds: int

    @property
    def answer(self) -> str:
        if self.interval is None or self.interval[0] <= 1 <= self.interval[1]:
            return "cannot be told apart"
        return "FASTER" if self.interval[0] > 1 else SLOWER

    def __str__(self) -> str:
        seen = (
            f" ({self.interval[0]:.3g}-{self.interval[1]:.3g})"
            if self.interval
            else f" in only {self.rounds} rounds"
        )
        name = f"{self.workload}, {self.way}, {self.count} at once ({self.kind})"
        return f"throughput of {name}: {self.ratio:.3g} times{seen}: {self.answer}"


def speeds(collected: Throughput) -> list[Speed]:
    """Return a comparison per workload, way and number at once; all of them hold together at 95 % (Bonferroni)."""
    paired = list(_paired(collected))
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(paired))
    return [
        Speed(
            run, collected.runs[run].group.kind, workload, way, count,
            statistics.median(ratios), stats.median_interval(ratios, confidence), len(ratios),
        )
        for (run, workload, way, count), ratios in paired
    ]  # fmt: skip


def _paired(collected: Throughput) -> Iterator[tuple[tuple[str, str, str, int], list[float]]]:
    for (run, build, workload, way), counts in collected.rates.items():
        others = collected.rates.get((run, OTHER_BUILD, workload, way))
        if build != THIS_BUILD or others is None:
            continue
        for count, rounds in sorted(counts.items()):
            void = any(collected.is_void(run, one, workload, way, count) for one in (THIS_BUILD, OTHER_BUILD))
            both = [] if void else sorted(rounds.keys() & others.get(count, {}).keys())
            ratios = [rounds[number] / others[count][number] for number in both if others[count][number] > 0]
            if ratios:
                yield (run, workload, way, count), ratios


def alone(collected: Throughput) -> list[str]:
    """Return the throughput runs that measured one build: there is nothing to compare them with."""
    with_other = {run for run, build, _, _ in collected.rates if build == OTHER_BUILD}
    return sorted({run for run, *_ in collected.rates} - with_other)
