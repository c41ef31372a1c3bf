"""The top of the page: what the runs say in one sentence per group, which machines and builds, which runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC
from datetime import datetime

from stress.commands.report.html import Markup
from stress.commands.report.html import join
from stress.commands.report.html import table
from stress.commands.report.html import tag
from stress.commands.report.html import within
from stress.model import stats
from stress.model.text import count
from stress.record.aggregate import Aggregate
from stress.record.aggregate import Cell
from stress.record.aggregate import Group
from stress.record.aggregate import RunInfo
from stress.record.aggregate.cells import totals
from stress.record.aggregate.groups import KIND_TEXTS
from stress.record.aggregate.groups import text
from stress.record.aggregate.words import canary_sentence
from stress.record.aggregate.words import percent

RUNS_BYTES_MAX = 200_000


def verdict_lines(whole: Aggregate) -> Markup:
    """Return one paragraph per group: how many failed, what that excludes, whether canaries were found."""
    if not whole.groups:
        return tag(
            "p",
            "No attempt of a scenario was both started and ended: there is nothing to report.",
            class_="note",
        )
    return join(_group_line(group, whole.of(group)) for group in whole.groups)


def _group_line(group: Group, cells: Sequence[Cell]) -> Markup:
    real = [cell for cell in cells if not cell.is_canary]
    failures, counted = totals(real)
    failing = sum(cell.failures > 0 and not cell.is_accepted for cell in real)
    sentence = stats.confidence_sentence(failures, counted)
    where = (
        f"{failing} of {count(len(real), 'item')} {'fails' if failing == 1 else 'fail'}"
        if failing
        else f"none of {count(len(real), 'item')} fails"
    )
    return tag(
        "p",
        tag("strong", KIND_TEXTS[group.kind]),
        f" · {group.machine} · {group.build.label} · {group.configuration_text}: ",
        tag("span", where, class_="bad" if failing else "pass"),
        f"; together {sentence}. {canary_sentence(cells)}",
        class_=None if group.kind.is_metal_evidence else "note",
    )


def hardware_matrix(whole: Aggregate) -> Markup:
    """Return builds by machines: each cell is one build, machine and configuration; cells are never pooled."""
    machines = list(dict.fromkeys(f"{group.kind}: {group.machine}" for group in whole.groups))
    builds: dict[str, dict[str, list[Group]]] = defaultdict(lambda: defaultdict(list))
    for group in whole.groups:
        name = f"{group.build.label}; {group.configuration_text}"
        builds[name][f"{group.kind}: {group.machine}"].append(group)
    rows = [
        [name, *(_square(whole, own[machine]) for machine in machines)]
        for name, own in sorted(builds.items())
    ]
    return table(["build and settings", *machines], rows, "matrix")


def _square(whole: Aggregate, groups: Sequence[Group]) -> Markup:
    if not groups:
        return tag("span", "not run", class_="dim")
    cells = [cell for cell in whole.of(groups[0]) if not cell.is_canary]
    failures, counted = totals(cells)
    runs = len({run for cell in cells for run in cell.by_run})
    bound = f"below {percent(stats.failure_rate_bound(counted))}" if counted and not failures else ""
    low, high = stats.wilson(failures, counted)
    interval = bound or (f"{percent(low)} to {percent(high)}" if counted else "nothing counts")
    hosts = {text(whole.runs[run].record["environment"].get("host")) for cell in cells for run in cell.by_run}
    return join(
        [
            tag("span", f"{failures} of {counted} failed", class_="bad" if failures else "pass"),
            tag("br"),
            tag(
                "small",
                f"{interval}; {count(len(cells), 'item')}, {count(runs, 'run')}, {count(len(hosts), 'machine')}",
            ),
        ]
    )


def run_table(whole: Aggregate) -> Markup:
    """Return a row per run, newest first."""
    runs = sorted(whole.runs.values(), key=lambda one: one.time, reverse=True)
    rows, left_out = within((join(_run_row(one)) for one in runs), RUNS_BYTES_MAX)
    headings = ["run", "when (UTC)", "device", "machine", "torch", "attempts", "how it ended"]
    body = tag("tbody", [tag("tr", row) for row in rows])
    head = tag("thead", tag("tr", [tag("th", one, scope="col") for one in headings]))
    rest = tag("p", f"{left_out} older runs are not listed.", class_="dim") if left_out else None
    return join([tag("div", tag("table", head, body), class_="scroll"), rest])


def _run_row(one: RunInfo) -> list[Markup]:
    made = f" ({one.command})" if one.command else ""
    cells = [
        f"{one.group.kind}{made}",
        f"{text(one.record['environment'].get('host')) or '?'}: {one.group.machine}",
        one.group.build.label,
        f"{one.attempts}" if not one.is_apart else "not counted here",
        ending(one),
    ]
    return [tag("th", one.run, scope="row"), tag("td", when(one.time)), *(tag("td", cell) for cell in cells)]


def ending(one: RunInfo) -> str:
    """Return how a run ended, in words."""
    parts = []
    if one.was_killed:
        parts.append("killed, or still running: no end in the record")
    elif one.exit_status is not None:
        parts.append(f"exit status {one.exit_status}, {one.seconds:.0f} s")
    if one.unfinished:
        parts.append(f"{count(one.unfinished, 'attempt')} without an end")
    if one.lost:
        parts.append(f"{one.lost} records lost: disk full")
    return "; ".join(parts)


def when(time_s: float) -> str:
    """Return a time as text; a record may say anything."""
    try:
        return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M}"
    except (OverflowError, OSError, ValueError):
        return "no valid time"
