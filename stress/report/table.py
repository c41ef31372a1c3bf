"""The closing table, rendered by rich into a string and written through pytest's own terminal writer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stress import stats
from stress.verdict import Verdict

_STYLES = {
    Verdict.PASS: "green",
    Verdict.INTERESTING: "cyan",
    Verdict.OOM: "yellow",
    Verdict.INCONCLUSIVE: "yellow",
}
_WIDTH_MIN = 80


def closing_table(rows: Sequence[dict[str, Any]], *, width: int, color: bool) -> str:
    """Return the table of all items that ran, as text of at most `width` columns (at least 80)."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("item", overflow="fold", ratio=None, no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("failed", justify="right", no_wrap=True)
    table.add_column("rate, 95 %", overflow="fold")
    for row in rows:
        style = _STYLES.get(Verdict(row["verdict"]), "red")
        failed = f"{row['failures']}/{row['counted']}" if row["counted"] else "-"
        table.add_row(Text(short_name(row["item"])), Text(row["word"], style=style), failed, Text(_rate(row)))
    buffer = StringIO()
    Console(
        file=buffer,
        width=max(width, _WIDTH_MIN),
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
    ).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def short_name(nodeid: str) -> str:
    """Return the node id without the folder, which is the same for nearly all items of a run."""
    path, _, rest = nodeid.partition("::")
    return f"{path.rpartition('/')[2]}::{rest}"


def _rate(row: dict[str, Any]) -> str:
    verdict = Verdict(row["verdict"])
    if row["canary"] and verdict.is_green:
        return "planted"
    if verdict.is_failure:
        low, high = stats.wilson(row["failures"], row["counted"])
        control = f"; one thread {row['control_failures']}/{row['controls']}" if row["controls"] else ""
        signature = f"; {row['signature']}" if row["signature"] else ""
        return f"{100 * low:.1f}-{100 * high:.1f} %{control}{signature}"
    if not verdict.is_green:
        return str(row["headline"])
    bound = f"below {100 * stats.failure_rate_bound(row['counted']):.1f} %" if row["counted"] else "-"
    notes = [note for note in row["notes"] if not note.startswith("no double-precision")]
    return "; ".join([bound, *(note.split(":")[0] for note in notes)])


def sentences(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the confidence sentences: one per number of clean attempts, then one over everything."""
    real = [row for row in rows if not row["canary"]]
    clean = Counter(row["counted"] for row in real if Verdict(row["verdict"]).is_green and row["counted"])
    lines = [
        f"{stats.confidence_sentence(0, counted)} ({'each of ' if items > 1 else ''}{_items(items)})"
        for counted, items in sorted(clean.items(), reverse=True)
        if items
    ]
    counted = sum(row["counted"] for row in real)
    failures = sum(row["failures"] for row in real)
    canaries = [row for row in rows if row["canary"]]
    found = sum(Verdict(row["verdict"]).is_green for row in canaries)
    told = f"canaries found: {found} of {len(canaries)}" if canaries else "no canary ran"
    if len(real) > 1:
        lines.append(
            f"all {_items(len(real))} together: {stats.confidence_sentence(failures, counted)}; {told}"
        )
    else:
        lines.append(told)
    return lines


def _items(count: int) -> str:
    return f"{count} item" if count == 1 else f"{count} items"
