"""Throughput curves, where runs of `mps-stress throughput` are among the folders."""

from __future__ import annotations

from collections import defaultdict

from stress.commands.report.charts import Series
from stress.commands.report.charts import curves
from stress.commands.report.html import Child
from stress.commands.report.html import Markup
from stress.commands.report.html import join
from stress.commands.report.html import table
from stress.commands.report.html import tag
from stress.record.aggregate.throughput import Figure
from stress.record.aggregate.throughput import Throughput


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
    rows: list[list[Child]] = [[one.name, one.count, one.median, one.interval, one.rounds] for one in figures]
    return join([
        tag("div", curves(series, "requests at once", "answers per second, median over rounds"), class_="scroll"),
        tag("p", legend),
        table(["way", "at once", "median", "95 % interval of the median", "rounds"], rows),
    ])  # fmt: skip
