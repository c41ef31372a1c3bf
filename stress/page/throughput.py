"""Throughput curves, where runs of `mps-stress throughput` are among the folders."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from stress import stats
from stress.aggregate import RunInfo
from stress.page.charts import Series
from stress.page.charts import curves
from stress.page.charts import short
from stress.page.html import Markup
from stress.page.html import join
from stress.page.html import table
from stress.page.html import tag

SERIES_MAX = 500
Key = tuple[str, str, str, str]
"""(run, build, workload, way)."""


@dataclass
class Throughput:
    """Collects `measurement` records: a window each, and windows that were not right."""

    rates: dict[Key, dict[int, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    void: dict[str, str] = field(default_factory=dict)
    """Item -> headline of the first window that was not right: its numbers are void."""
    runs: dict[str, RunInfo] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any], info: RunInfo) -> None:
        self.runs[info.run] = info
        if record["kind"] == "measurement":
            key = (info.run, record["build"], record["workload"], record["way"])
            if key in self.rates or len(self.rates) < SERIES_MAX:
                self.rates[key][record["count"]].append(float(record["rate_per_s"]))
        elif record["kind"] == "attempt_end" and record["verdict"] not in ("pass", "interesting"):
            self.void.setdefault(f"{info.run} {record['item']}", f"{record['verdict']}: {record['headline']}")

    def figures(self) -> Iterator[tuple[Figure, RunInfo]]:
        """Yield the figures of every item that is not void: one wrong answer makes all numbers of its item worthless."""
        for (run, build, workload, way), counts in self.rates.items():
            for count, rates in sorted(counts.items()):
                if f"{run} throughput::{build}::{workload}::{way}-{count}" in self.void:
                    continue
                # With too few rounds for an interval of the median, all that was seen.
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


def throughput(collected: Throughput) -> Markup:
    """Return a chart per run and workload."""
    if not collected.rates:
        return tag("p", "Not shown: no records of mps-stress throughput are among these runs.")
    charts = []
    by_chart: dict[tuple[str, str], list[Figure]] = defaultdict(list)
    for figure, info in collected.figures():
        by_chart[info.run, figure.workload].append(figure)
    for (run, workload), figures in by_chart.items():
        info = collected.runs[run]
        charts.append(
            tag("h3", f"{workload}: {info.group.kind}, {info.group.machine}, {info.group.build.label}")
        )
        charts.append(_chart(figures))
    void = [tag("li", f"{item}: void: {why}", class_="bad") for item, why in collected.void.items()]
    return join([*charts, tag("ul", void) if void else None])


def _chart(figures: list[Figure]) -> Markup:
    by_name: dict[str, list[Figure]] = defaultdict(list)
    for one in figures:
        by_name[one.name].append(one)
    series = [
        Series(name, [(float(one.count), one.rate_per_s, one.low, one.high) for one in own])
        for name, own in by_name.items()
    ]
    legend = join(tag("span", "■ ", tag("span", one.name + "  ", class_="dim"), class_=f"s{number % 4}")
                  for number, one in enumerate(series))  # fmt: skip
    rows = [[one.name, one.count, one.median, one.interval, one.rounds] for one in figures]
    return join([
        tag("div", curves(series, "requests at once", "answers per second, median over rounds"), class_="scroll"),
        tag("p", legend),
        table(["way", "at once", "median", "95 % interval of the median", "rounds"], rows),
    ])  # fmt: skip
