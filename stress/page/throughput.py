"""Throughput curves, where runs of `mps-stress throughput` are among the folders."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from stress import stats
from stress.aggregate import RunInfo
from stress.page.charts import Series
from stress.page.charts import curves
from stress.page.charts import short
from stress.page.html import Child
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


def throughput(collected: Throughput) -> Markup:
    """Return a chart per run and workload."""
    if not collected.rates:
        return tag("p", "Not shown: no records of mps-stress throughput are among these runs.")
    charts = []
    for run, workload in dict.fromkeys((run, workload) for run, _, workload, _ in collected.rates):
        own = {key: counts for key, counts in collected.rates.items() if (key[0], key[2]) == (run, workload)}
        info = collected.runs[run]
        charts.append(
            tag("h3", f"{workload}: {info.group.kind}, {info.group.machine}, {info.group.build.label}")
        )
        charts.append(_chart(own, collected, run))
    void = [tag("li", f"{item}: void: {why}", class_="bad") for item, why in collected.void.items()]
    return join([*charts, tag("ul", void) if void else None])


def _chart(own: dict[Key, dict[int, list[float]]], collected: Throughput, run: str) -> Markup:
    series: list[Series] = []
    rows: list[list[Child]] = []
    for (_, build, workload, way), counts in own.items():
        # Item names as the command writes them; one wrong answer makes all numbers of its item worthless.
        good = {
            count: rates
            for count, rates in sorted(counts.items())
            if f"{run} throughput::{build}::{workload}::{way}-{count}" not in collected.void
        }
        name = f"{way}, {build} build"
        points = [
            (float(count), statistics.median(rates), *_interval(rates)) for count, rates in good.items()
        ]
        series.append(Series(name, points))
        for (count, rates), (_, median, low, high) in zip(good.items(), points, strict=True):
            interval = f"{short(low)} to {short(high)}"
            rows.append([name, count, f"{short(median)}/s", interval, len(rates)])
    legend = join(tag("span", "■ ", tag("span", one.name + "  ", class_="dim"), class_=f"s{number % 4}")
                  for number, one in enumerate(series))  # fmt: skip
    return join([
        tag("div", curves(series, "requests at once", "answers per second, median over rounds"), class_="scroll"),
        tag("p", legend),
        table(["way", "at once", "median", "95 % interval of the median", "rounds"], rows),
    ])  # fmt: skip


def _interval(rates: list[float]) -> tuple[float, float]:
    """Return the interval of the median; with too few rounds for one, all that was seen."""
    return stats.median_interval(rates) or (min(rates), max(rates))
