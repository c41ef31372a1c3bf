"""The result of a throughput run: a table with bars, what may be said of it, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from stress.commands.throughput import analysis
from stress.commands.throughput.analysis import Comparison
from stress.commands.throughput.analysis import Estimate
from stress.commands.throughput.analysis import Line
from stress.commands.throughput.catalogue import BY_NAME
from stress.commands.throughput.catalogue import OTHER_BUILD
from stress.commands.throughput.catalogue import THIS_BUILD
from stress.commands.throughput.catalogue import THREADS
from stress.commands.throughput.catalogue import WAYS
from stress.commands.throughput.catalogue import WorkloadCell
from stress.commands.throughput.measurement import ThroughputMeasurement
from stress.commands.throughput.window_runner import WINDOW_S
from stress.model import stats
from stress.plugin.terminal.render import render
from stress.plugin.terminal.table import SIMULATED_SENTENCE

_WIDTH_MIN = 140
_BAR_WIDTH = 16


@dataclass(frozen=True)
class Setting:
    """Where it ran, for the first lines."""

    device: str
    torch: str
    other_torch: str | None
    machine: str
    date: str
    simulated: bool
    folder: str


def text(measured: ThroughputMeasurement, setting: Setting, *, width: int, color: bool) -> str:
    """Return the whole result as text."""
    lines, compared = analysis.lines(measured), analysis.comparisons(measured)
    parts = [_head(measured, setting, compared)]
    for workload in dict.fromkeys(cell.workload for cell in measured.cells):
        own = [line for line in lines if line.cell.workload == workload]
        parts.append(f"{workload}: {BY_NAME[workload].text}")
        parts.append(_table(own, width=max(width, _WIDTH_MIN), color=color))
        parts += _sentences(own, [one for one in compared if one.left.workload == workload])
    parts += [f"VOID: {line.cell.item}: {line.void}" for line in lines if line.void]
    if setting.simulated:
        parts.append(SIMULATED_SENTENCE)
    if measured.interrupted:
        parts.append("interrupted: results measured until then")
    parts.append(f"records: {setting.folder}")
    return "\n".join(parts)


def _head(measured: ThroughputMeasurement, setting: Setting, compared: Sequence[Comparison]) -> str:
    checked = [
        float(one["checking_share"]) for data in measured.data.values() for one in data.figures.values()
    ]
    share = f"{100 * sum(checked) / len(checked):.0f} %" if checked else "-"
    other = f", against {setting.other_torch}" if setting.other_torch else ""
    void = measured.void
    wrong = (
        f"{len(void)} of {len(measured.cells)} numbers are VOID" if void else "all as in the sequential run"
    )
    return "\n".join(
        [
            f"mps-stress throughput, {setting.date}: device {setting.device}, {setting.torch}{other}; {setting.machine}",
            f"{measured.rounds} rounds of {len(measured.cells)} windows of {WINDOW_S:g} s, a process for each, in shuffled "
            "order; medians over the rounds, 95 % rank intervals",
            f"{measured.requests} answers compared, {wrong}; comparing took {share} of the time",
            _family(measured, len(compared)),
            "",
        ]
    )


def _family(measured: ThroughputMeasurement, count: int) -> str:
    needed = stats.values_needed(analysis.confidence_each(count))
    if not count:
        return "nothing to rank"
    few = f": {measured.rounds} rounds are too few, nothing is ranked" if measured.rounds < needed else ""
    return f"{count} comparisons, 95 % over all of them together, for which {needed} rounds are needed{few}"


def _table(lines: Sequence[Line], *, width: int, color: bool) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("served by", no_wrap=True)
    for name in ("at once", "requests/s", "95 %", "speed-up", "95 %", "efficiency", "P50 ms", "P99 ms"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    longest = max((line.rate_per_s.median for line in lines if line.rate_per_s), default=1.0)
    for line in lines:
        table.add_row(*_row(line, longest))
    return render(table, width, color=color)


def _row(line: Line, longest: float) -> list[Text | Bar]:
    cell = line.cell
    name = _name(cell)
    if line.void:
        return [Text(name), Text(str(cell.count)), Text("VOID", style="red")]
    if line.rate_per_s is None:
        return [Text(name), Text(str(cell.count)), Text("not run")]
    efficiency = line.efficiency
    figures = [
        str(cell.count),
        _number(line.rate_per_s.median),
        _interval(line.rate_per_s, _number),
        f"{line.speed_up.median:.2f}" if line.speed_up else "",
        _interval(line.speed_up, lambda value: f"{value:.2f}"),
        f"{100 * efficiency.median:.0f} %" if efficiency else "",
        _ms(line.latency_p50_s),
        _ms(line.latency_p99_s),
    ]
    bar = Bar(size=longest, begin=0, end=line.rate_per_s.median, width=_BAR_WIDTH)
    return [Text(name), *map(Text, figures), bar]


def _name(cell: WorkloadCell) -> str:
    if cell.build == OTHER_BUILD:
        return "one thread, other build"
    return "one thread" if cell.count == 1 else cell.way


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _interval(estimate: Estimate | None, in_words: Callable[[float], str]) -> str:
    if estimate is None or estimate.interval is None:
        return ""
    return "-".join(in_words(value) for value in estimate.interval)


def _ms(estimate: Estimate | None) -> str:
    return f"{1000 * estimate.median:.3g}" if estimate else "-"


def _sentences(lines: Sequence[Line], compared: Sequence[Comparison]) -> Iterable[str]:
    for line in lines:
        cell = line.cell
        if (
            BY_NAME[cell.workload].is_large
            and (cell.way, cell.count) == (THREADS, 2)
            and not line.void
            and cell.build == THIS_BUILD
        ):
            yield f"  {_efficiency_sentence(line.efficiency)}"
    for one in compared:
        if one.ratio is not None and one.ratio.interval is not None:  # the head says that rounds are too few
            yield f"  {_comparison_sentence(one)}"
    yield ""


def _efficiency_sentence(efficiency: Estimate | None) -> str:
    verdict = analysis.target_verdict(efficiency)
    target = f"{100 * analysis.EFFICIENCY_TARGET:.0f} %"
    if efficiency is None:
        return f"efficiency at 2 threads: not measured (target {target})"
    in_words = _interval(efficiency, lambda value: f"{100 * value:.0f}") or "too few rounds for an interval"
    return (
        f"efficiency at 2 threads: {100 * efficiency.median:.0f} % ({in_words}), target {target}: {verdict}"
    )


def _comparison_sentence(one: Comparison) -> str:
    assert one.ratio is not None
    left, right = (_side(cell, one) for cell in (one.left, one.right))
    in_words = f"{one.ratio.median:.3f} times, {_interval(one.ratio, lambda value: f'{value:.3f}')}"
    if one.order == 0:
        return f"{left} and {right} cannot be told apart ({left} {in_words})"
    return f"{left} is {'faster' if one.order > 0 else 'slower'} than {right} ({in_words})"


def _side(cell: WorkloadCell, one: Comparison) -> str:
    if one.left.build != one.right.build:
        return f"{'this' if cell.build == THIS_BUILD else 'the other'} build's one thread"
    return f"{cell.way} at {cell.count}"


def json_text(measured: ThroughputMeasurement, setting: Setting) -> str:
    """Return the same as data."""
    lines = analysis.lines(measured)
    target = [
        line
        for line in lines
        if BY_NAME[line.cell.workload].is_large
        and (line.cell.build, line.cell.way, line.cell.count) == (THIS_BUILD, THREADS, 2)
    ]
    return json.dumps(
        {
            **vars(setting),
            "rounds": measured.rounds,
            "window_s": WINDOW_S,
            "requests": measured.requests,
            "interrupted": measured.interrupted,
            "ways": WAYS,
            "cells": [line.to_data() for line in lines],
            "comparisons": [one.to_data() for one in analysis.comparisons(measured)],
            "efficiency_at_2": analysis.target_verdict(target[0].efficiency) if target else None,
        },
        indent=1,
    )
