"""Throughput from the records of `mps-stress throughput`: medians over rounds, as that command reports them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from stress.model import stats
from stress.record.aggregate.runs import RunInfo

SERIES_MAX = 500
Key = tuple[str, str, str, str]
"""(run, build, workload, way)."""


@dataclass
class Throughput:
    """Collects `measurement` records: a window each, and windows that were not right."""

    rates: dict[Key, dict[int, dict[int, float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )
    """Of each number of requests at once, round -> answers per second."""
    void: dict[str, str] = field(default_factory=dict)
    """Item -> headline of the first window that was not right: its numbers are void."""
    runs: dict[str, RunInfo] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any], info: RunInfo) -> None:
        self.runs[info.run] = info
        if record["kind"] == "measurement":
            key = (info.run, record["build"], record["workload"], record["way"])
            if key in self.rates or len(self.rates) < SERIES_MAX:
                self.rates[key][record["count"]][record["attempt"]] = float(record["rate_per_s"])
        elif record["kind"] == "attempt_end" and record["verdict"] not in ("pass", "interesting"):
            self.void.setdefault(f"{info.run} {record['item']}", f"{record['verdict']}: {record['headline']}")

    def is_void(self, run: str, build: str, workload: str, way: str, count: int) -> bool:
        """Whether any window of this item was not right."""
        return f"{run} throughput::{build}::{workload}::{way}-{count}" in self.void

    def figures(self) -> Iterator[tuple[Figure, RunInfo]]:
        """Yield the figures of every item that is not void: one wrong answer makes all numbers of its item worthless."""
        for (run, build, workload, way), counts in self.rates.items():
            for count, rounds in sorted(counts.items()):
                if self.is_void(run, build, workload, way, count):
                    continue
                rates = list(rounds.values())
                # With too few rounds for an interval of the median: the whole range.
                low, high = stats.median_interval(rates) or (min(rates), max(rates))
                median = statistics.median(rates)
                yield Figure(workload, way, build, count, median, low, high, len(rates)), self.runs[run]


@dataclass(frozen=True)
class Figure:
    """The rates of one way of serving so many requests at once, over all rounds."""

    workload: str
    way: str
    build: str
    count: int
    rate_per_s: float
    low: float
    high: float
    rounds: int

    @property
    def name(self) -> str:
        return f"{self.way}, {self.build} build"

    @property
    def median(self) -> str:
        return f"{short(self.rate_per_s)}/s"

    @property
    def interval(self) -> str:
        return f"{short(self.low)} to {short(self.high)}"


def short(value: float) -> str:
    """Return a number with at most three digits and a unit prefix."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"
