"""Verdicts by scenario and thread count, and the rates behind them as bars."""

from __future__ import annotations

from collections import Counter
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Sequence

from stress.commands.report.charts import interval_bar
from stress.commands.report.charts import scale_for
from stress.commands.report.html import Markup
from stress.commands.report.html import join
from stress.commands.report.html import tag
from stress.commands.report.html import within
from stress.commands.report.items import control_text
from stress.commands.report.items import failed_text
from stress.commands.report.items import name
from stress.commands.report.items import rows_by_file
from stress.commands.report.items import short
from stress.model import stats
from stress.model.text import count
from stress.record.aggregate import Cell
from stress.record.aggregate.words import percent
from stress.record.aggregate.words import word_of_cell

MATRIX_BYTES_MAX = 450_000
RATES_BYTES_MAX = 150_000
THREAD_COLUMNS_MAX = 24


def matrix(cells: Sequence[Cell], bytes_max: int = MATRIX_BYTES_MAX) -> Markup:
    """Return the matrix of one group: what is not green open, the rest folded; each file's scenarios under its name."""
    counts = sorted({cell.threads for cell in cells})[:THREAD_COLUMNS_MAX]
    rows: dict[str, dict[int, Cell]] = defaultdict(dict)
    for cell in cells:
        rows[cell.scenario][cell.threads] = cell
    ranked = {scenario: max(_rank(one) for one in own.values()) for scenario, own in rows.items()}
    bad = sorted((one for one in rows if ranked[one]), key=lambda one: (-ranked[one], one))
    green = sorted(one for one in rows if not ranked[one])
    shown, left_out = _table(bad, rows, counts, bytes_max)
    folded, more = _table(green, rows, counts, max(0, bytes_max - len(shown or "")))
    left_out += more
    rest = (
        f"{left_out} more scenarios do not fit on this page; those that fail come first." if left_out else ""
    )
    return join([
        shown,
        tag("details", tag("summary", f"{count(len(green), 'scenario')} without a failure"), folded) if folded else None,
        tag("p", rest, class_="dim") if rest else None,
    ])  # fmt: skip


def _table(
    scenarios: Iterable[str], rows: dict[str, dict[int, Cell]], counts: Sequence[int], bytes_max: int
) -> tuple[Markup | None, int]:
    """Return a table of these scenarios, and how many of them had no room."""
    kept: dict[str, Markup] = {}
    used = left_out = 0
    for scenario in scenarios:
        squares = [_square(rows[scenario].get(threads)) for threads in counts]
        row = tag("tr", tag("th", name(short(scenario)), scope="row"), squares)
        used += len(row.encode())
        if used > bytes_max:
            left_out += 1
        else:
            kept[scenario] = row
    if not kept:
        return None, left_out
    headings = ["scenario", *(_threads(threads) for threads in counts)]
    head = tag("thead", tag("tr", [tag("th", one, scope="col") for one in headings]))
    body = tag("tbody", [*rows_by_file(kept, len(headings))])
    return tag("div", tag("table", head, body, class_="matrix"), class_="scroll"), left_out


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
    failed = f" {failed_text(cell)}" if cell.counted else ""
    return tag("td", tag("span", word, class_=class_, title=meaning), failed)


def rates(cells: Sequence[Cell]) -> Markup:
    """Return the rates of items that fail, as bars on one scale, and what the clean ones exclude."""
    real = [cell for cell in cells if not cell.is_canary]
    failing = sorted(
        (cell for cell in real if cell.failures), key=lambda one: (-one.failures / one.counted, one.item)
    )
    scale = scale_for(
        max((stats.rate_interval(one.failures, one.counted)[1] for one in failing), default=1.0)
    )
    rows, left_out = within((_rate_row(cell, scale) for cell in failing), RATES_BYTES_MAX)
    parts: list[Markup] = []
    if failing:
        headings = ["item", "failed", "rate, 95 % interval", "one thread"]
        head = tag("thead", tag("tr", [tag("th", one, scope="col") for one in headings]))
        shown = {cell.item: row for cell, row in zip(failing, rows, strict=False)}
        body = tag("tbody", [*rows_by_file(shown, len(headings))])
        parts.append(tag("table", head, body, class_="rates"))
    if left_out:
        parts.append(tag("p", f"{left_out} more failing items do not fit here.", class_="dim"))
    clean = Counter(
        (cell.counted, cell.counted_attempts) for cell in real if cell.counted and not cell.failures
    )
    lines = [
        tag("li", f"{count(items, 'item')}: {stats.confidence_sentence(0, attempts, processes=processes)}")
        for (processes, attempts), items in sorted(clean.items(), reverse=True)[:40]
    ]
    return join([*parts, tag("ul", lines) if lines else None])


def _rate_row(cell: Cell, scale: float) -> Markup:
    low, high = stats.rate_interval(cell.failures, cell.counted)
    return tag(
        "tr",
        tag("th", name(short(cell.item)), scope="row"),
        tag(
            "td",
            failed_text(cell),
            tag("br"),
            tag("small", f"{percent(low)} to {percent(high)}"),
            data_name="failed",
        ),
        tag("td", interval_bar(cell.failures, cell.counted, scale), class_="bar"),
        tag("td", control_text(cell), data_name="one thread"),
    )
