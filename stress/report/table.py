"""The closing table, rendered by rich into a string and written through pytest's own terminal writer."""

from __future__ import annotations

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
    """Return the table of all items that ran, as text of at most `width` columns."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    table.add_column("item", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("failed", justify="right", no_wrap=True)
    table.add_column("what may be said", overflow="fold")
    for row in rows:
        verdict = Verdict(row["verdict"])
        failed = f"{row['failures']}/{row['counted']}" if row["counted"] else "-"
        item = (
            row["item"].replace("scenarios/", "", 1) if row["item"].startswith("scenarios/") else row["item"]
        )
        table.add_row(
            Text(item), Text(row["word"], style=_STYLES.get(verdict, "red")), failed, Text(_sentence(row))
        )
    buffer = StringIO()
    Console(
        file=buffer,
        width=max(width, _WIDTH_MIN),
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
    ).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def _sentence(row: dict[str, Any]) -> str:
    verdict = Verdict(row["verdict"])
    if row["canary"] and verdict.is_green:
        return "a planted fault, found as it must be"
    if verdict.is_failure:
        control = f"; one thread: {row['control_failures']} of {row['controls']}" if row["controls"] else ""
        signature = f"; {row['signature']}" if row["signature"] else ""
        return (
            stats.confidence_sentence(row["failures"], row["counted"]).split(": ", 1)[-1]
            + control
            + signature
        )
    if not verdict.is_green:
        return str(row["headline"])
    sentence = stats.confidence_sentence(row["failures"], row["counted"])
    notes = [note for note in row["notes"] if not note.startswith("no double-precision")]
    return "; ".join([sentence, *(note.split(":")[0] for note in notes)])


def totals(rows: Sequence[dict[str, Any]]) -> str:
    """Return one line over all items: attempts, failures and the bound actually reached."""
    real = [row for row in rows if not row["canary"]]
    counted = sum(row["counted"] for row in real)
    failures = sum(row["failures"] for row in real)
    items = f"{len(real)} item" + ("s" if len(real) != 1 else "")
    canaries = [row for row in rows if row["canary"]]
    found = sum(Verdict(row["verdict"]).is_green for row in canaries)
    text = f"{items}, all attempts together: {stats.confidence_sentence(failures, counted)}"
    return text + (f"; canaries found: {found} of {len(canaries)}" if canaries else "; no canary ran")
