"""Verdicts by scenario and thread count, and the rates behind them as bars."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Sequence

from stress.commands.report.charts import interval_bar
from stress.commands.report.html import Markup
from stress.commands.report.html import join
from stress.commands.report.html import tag
from stress.commands.report.html import within
from stress.model import stats
from stress.model.text import count
from stress.record.aggregate import Cell
from stress.record.aggregate.words import percent
from stress.record.aggregate.words import word_of_cell

MATRIX_BYTES_MAX = 450_000
RATES_BYTES_MAX = 150_000
THREAD_COLUMNS_MAX = 24


def matrix(cells: Sequence[Cell], bytes_max: int = MATRIX_BYTES_MAX) -> Markup:
    """Return the matrix of one group: what fails first, then by name."""
    counts = sorted({cell.threads for cell in cells})[:THREAD_COLUMNS_MAX]
    rows: dict[str, dict[int, Cell]] = defaultdict(dict)
    for cell in cells:
        rows[cell.scenario][cell.threads] = cell
    ordered = sorted(rows, key=lambda name: (-max(_rank(one) for one in rows[name].values()), name))
    made = (
        tag("tr", tag("th", name, scope="row"), [_square(rows[name].get(count)) for count in counts])
        for name in ordered
    )
    kept, left_out = within(made, bytes_max)
    headings = ["scenario", *(_threads(count) for count in counts)]
    head = tag("thead", tag("tr", [tag("th", one, scope="col") for one in headings]))
    rest = (
        f"{left_out} more scenarios do not fit on this page; those that fail come first." if left_out else ""
    )
    return join([
        tag("div", tag("table", head, tag("tbody", kept), class_="matrix"), class_="scroll"),
        tag("p", rest, class_="dim") if rest else None,
    ])  # fmt: skip


def _threads(number: int) -> str:
    return "process" if number == 0 else count(number, "thread")


def _rank(cell: Cell) -> int:
    if cell.is_canary:
        return 0 if cell.failures else 3
    if cell.failures and not cell.is_accepted:
        return 4
    verdict = cell.verdict
    return 1 if verdict is None or not (verdict.is_green or cell.is_accepted) else 0


def _square(cell: Cell | None) -> Markup:
    if cell is None:
        return tag("td", "-", class_="dim")
    word, class_ = word_of_cell(cell)
    meaning = None if cell.verdict is None or cell.is_canary else cell.verdict.meaning
    failed = f" {cell.failures}/{cell.counted}" if cell.counted else ""
    return tag("td", tag("span", word, class_=class_, title=meaning), failed)


def rates(cells: Sequence[Cell]) -> Markup:
    """Return the rates of items that fail, as bars on one scale, and what the clean ones exclude."""
    real = [cell for cell in cells if not cell.is_canary]
    failing = sorted(
        (cell for cell in real if cell.failures), key=lambda one: (-one.failures / one.counted, one.item)
    )
    scale = max((stats.wilson(one.failures, one.counted)[1] for one in failing), default=1.0)
    rows, left_out = within((_rate_row(cell, scale) for cell in failing), RATES_BYTES_MAX)
    parts: list[Markup] = []
    if failing:
        headings = [
            "item",
            "failed",
            f"rate with 95 % interval, 0 to {percent(scale)}",
            "one thread, same work",
        ]
        head = tag("thead", tag("tr", [tag("th", one, scope="col") for one in headings]))
        parts.append(tag("div", tag("table", head, tag("tbody", rows), class_="rates"), class_="scroll"))
    if left_out:
        parts.append(tag("p", f"{left_out} more failing items do not fit here.", class_="dim"))
    clean = Counter(cell.counted for cell in real if cell.counted and not cell.failures)
    lines = [
        tag("li", f"{count(items, 'item')}: {stats.confidence_sentence(0, counted)}")
        for counted, items in sorted(clean.items(), reverse=True)[:40]
    ]
    return join([*parts, tag("ul", lines) if lines else None])


def _rate_row(cell: Cell, scale: float) -> Markup:
    control = f"{cell.control_failures}/{cell.control_counted}" if cell.controls else "not run"
    low, high = stats.wilson(cell.failures, cell.counted)
    return tag(
        "tr",
        tag("th", cell.item, scope="row"),
        tag(
            "td",
            f"{cell.failures}/{cell.counted}",
            tag("br"),
            tag("small", f"{percent(low)} to {percent(high)}"),
        ),
        tag("td", interval_bar(cell.failures, cell.counted, scale)),
        tag("td", control),
    )
