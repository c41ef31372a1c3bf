"""The top of the page: what the runs say in one sentence per group, which machines and builds, which runs."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC
from datetime import datetime

from stress.commands.report.html import Markup
from stress.commands.report.html import join
from stress.commands.report.html import table
from stress.commands.report.html import tag
from stress.commands.report.html import within
from stress.model import hand_overs
from stress.model.text import count
from stress.model.verdict import PageClass
from stress.record.aggregate import Aggregate
from stress.record.aggregate import Cell
from stress.record.aggregate import Group
from stress.record.aggregate import RunInfo
from stress.record.aggregate.cells import totals
from stress.record.aggregate.groups import KIND_TEXTS
from stress.record.aggregate.groups import text
from stress.record.aggregate.words import canary_sentence
from stress.record.aggregate.words import result_sentence

RUNS_BYTES_MAX = 200_000


def failing_in(cells: Sequence[Cell]) -> int:
    """Return how many items fail."""
    return sum(cell.failures > 0 and not cell.is_accepted and not cell.is_canary for cell in cells)


def standing(cells: Sequence[Cell]) -> tuple[str, PageClass]:
    """Return how many items failed, in words, and the colour: green needs attempts that count, and no missed canary."""
    tried = [cell for cell in cells if not cell.is_canary and cell.counted]
    failing = failing_in(tried)
    if failing:
        return f"{failing} of {count(len(tried), 'item')} failed", "bad"
    if not tried:
        return "nothing counts", "unsure"
    missed = any(cell.is_canary and not cell.failures for cell in cells)
    return f"none of {count(len(tried), 'item')} failed", "unsure" if missed else "pass"


def failing_first(whole: Aggregate) -> list[Group]:
    """Return the groups, those with a failing item first, real devices first among each."""
    return sorted(whole.groups, key=lambda group: not failing_in(whole.of(group)))


def headings(groups: Sequence[Group]) -> dict[Group, str]:
    """Return a heading for each group, as long as it must be to be no other group's."""
    found = {group: f"{group.kind}: {group.machine}" for group in groups}
    for part in ("configuration", "build", "number"):
        often = Counter(found.values())
        for number, group in enumerate(groups, 1):
            more = {
                "configuration": group.configuration_text,
                "build": group.build.label,
                "number": f"({number})",
            }
            if often[found[group]] > 1:
                found[group] = f"{found[group]}, {more[part]}"
    return found


def verdict_lines(whole: Aggregate, groups: Sequence[Group]) -> Markup:
    """Return one paragraph per group: how many failed, what that excludes, whether canaries were found."""
    if not groups:
        return tag(
            "p",
            "No attempt of a scenario was both started and ended: there is nothing to report.",
            class_="note",
        )
    return join(_group_line(whole, group, whole.of(group)) for group in groups)


def canary_age(whole: Aggregate, cells: Sequence[Cell]) -> str:
    """Return how long before the newest run a planted fault was found last; empty where none was."""
    found = [last for cell in cells if cell.is_canary for _, last in cell.seen.values()]
    if not found:
        return ""
    began = [whole.runs[run].time for cell in cells for run in cell.by_run if run in whole.runs]
    age_s = max(began, default=0.0) - max(found)
    before = f", {hours(age_s)} before the newest run here began" if age_s > 0 else ", in the newest run here"
    return f" The last one was found on {when(max(found))}{before}."


def hours(seconds: float) -> str:
    """Return a time that passed, in the largest unit of which there are two."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def orders_line(cells: Sequence[Cell]) -> Markup | None:
    """Return how many hand-overs between threads another attempt would have that were not seen; None where nobody knows."""
    told = hand_overs.sentence([cell.hand_overs.counts for cell in cells if not cell.is_canary])
    return tag("p", told, class_="dim") if told else None


def _group_line(whole: Aggregate, group: Group, cells: Sequence[Cell]) -> Markup:
    failed, separator, excluded = result_sentence(cells).partition("; ")
    return tag(
        "p",
        tag("strong", KIND_TEXTS[group.kind]),
        f" · {group.machine} · {group.build.label} · {group.configuration_text}: ",
        tag("span", failed, class_=standing(cells)[1]),
        f"{separator}{excluded}. {canary_sentence(cells)}{canary_age(whole, cells)}",
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
    word, class_ = standing(whole.of(groups[0]))
    cells = [cell for cell in whole.of(groups[0]) if not cell.is_canary]
    failures, counted = totals(cells)
    runs = len({run for cell in cells for run in cell.by_run})
    hosts = {text(whole.runs[run].record["environment"].get("host")) for cell in cells for run in cell.by_run}
    return join(
        [
            tag("span", word, class_=class_),
            tag("br"),
            tag(
                "small",
                f"{failures} of {count(counted, 'attempt')}; {count(runs, 'run')}, {count(len(hosts), 'machine')}",
            ),
        ]
    )


def run_table(whole: Aggregate) -> Markup:
    """Return a row per run, newest first."""
    runs = sorted(whole.runs.values(), key=lambda one: one.time, reverse=True)
    rows, left_out = within((join(_run_row(one)) for one in runs), RUNS_BYTES_MAX)
    headings = ["run", "when (UTC)", "device", "machine", "torch", "attempts", "per minute", "how it ended"]
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
        f"{60 * one.attempts / one.seconds:.0f}" if one.attempts and one.seconds > 0 else "-",
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
