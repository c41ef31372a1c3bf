"""Failure rates of each item over the runs of one class of machine, with a mark where the torch build changes.

Builds stand side by side here and are never pooled: each point is one run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Sequence

from stress.commands.report.charts import trend
from stress.commands.report.html import Markup
from stress.commands.report.html import join
from stress.commands.report.html import tag
from stress.commands.report.html import within
from stress.commands.report.items import name
from stress.model import stats
from stress.model.text import count
from stress.record.aggregate import Aggregate
from stress.record.aggregate import Cell
from stress.record.aggregate import RunInfo
from stress.record.aggregate.words import percent

BYTES_MAX = 250_000
RUNS_MAX = 200

Key = tuple[str, str, tuple[str, ...]]


def trends(whole: Aggregate) -> Markup:
    """Return a chart per item that ever failed and ran at least twice on one class of machine."""
    by_key: dict[Key, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in whole.cells.values():
        if not cell.is_canary:
            by_key[cell.group.base][cell.item].append(cell)
    runs = sorted(whole.runs.values(), key=lambda one: (one.time, one.run))
    rows, left_out = within(_rows(by_key, runs), BYTES_MAX)
    if not rows:
        return tag(
            "p",
            "No failing item ran more than once on one machine under the same settings, so there is no trend to show.",
        )
    heading = (
        "item",
        "rate in each run, oldest first, with its 95 % interval; a dashed line is another build",
    )
    head = tag("thead", tag("tr", [tag("th", one, scope="col") for one in heading]))
    return join([
        tag("table", head, tag("tbody", rows), class_="rates"),
        tag("p", f"{left_out} more items do not fit here.", class_="dim") if left_out else None,
    ])  # fmt: skip


def _rows(by_key: dict[Key, dict[str, list[Cell]]], runs: Sequence[RunInfo]) -> Iterator[Markup]:
    for (kind, machine, _), items in sorted(by_key.items()):
        for item, cells in sorted(items.items()):
            if any(cell.failures for cell in cells):
                row = _row(f"{kind}: {machine}", item, cells, runs)
                if row is not None:
                    yield row


def _row(where: str, item: str, cells: Sequence[Cell], runs: Sequence[RunInfo]) -> Markup | None:
    counts = {run: counted for cell in cells for run, counted in cell.by_run.items()}
    own = [one for one in runs if one.run in counts][-RUNS_MAX:]
    if len(own) < 2:
        return None
    points = [(counts[one.run][0], counts[one.run][1]) for one in own]
    marks = [
        number for number in range(1, len(own)) if own[number].group.build != own[number - 1].group.build
    ]
    scale = max(
        (stats.rate_interval(failures, counted)[1] for counted, failures in points if counted), default=1.0
    )
    seen = f"{where}; {count(len(own), 'run')}, {count(len(marks) + 1, 'build')}, 0 to {percent(scale)}"
    return tag(
        "tr",
        tag("th", name(item), tag("br"), tag("small", seen), scope="row"),
        tag("td", tag("div", trend(points, scale, marks), class_="scroll")),
    )
