"""One block for failures of one kind: pytest's FAILURES section shows an example, and below it a list of the others.

pytest prints a block for each report in its list of failed ones. While it does, the list holds one report of each kind.
Afterwards it is as it was: pytest counts it, and its short summary names every item.
"""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Generator
from collections.abc import Sequence
from typing import Any

import pytest

from stress.model.text import count
from stress.plugin.terminal.item_row import ItemRow

_STUCK = "\0"
"""A space at which no line is broken."""
UNNAMED_SHOWN = 3
"""Blocks of a kind without a signature: wrong numbers of two items may well be two faults."""
LISTED_MAX = 8
"""Items of a list; the closing table has every one that failed."""


class FailureGroups:
    """Puts the list in place of its reports, and back."""

    def __init__(self) -> None:
        self._reports: dict[str, Any] | None = None
        self._failed: list[Any] = []
        self._changed: list[tuple[Any, Any, Any]] = []

    @pytest.hookimpl(tryfirst=True, wrapper=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Generator[None]:
        """Fold the list before pytest's own hook, a wrapper, prints what failed."""
        config = terminalreporter.config
        if config.get_verbosity() < 1 and config.option.tbstyle not in ("no", "line"):
            self._fold(terminalreporter.stats, terminalreporter._tw.fullwidth)
        try:
            return (yield)
        finally:
            self.put_back()

    def _fold(self, stats: dict[str, Any], width: int) -> None:
        self._reports, self._failed = stats, stats.get("failed", [])
        groups: dict[str, list[tuple[Any, ItemRow]]] = {}
        for report in self._failed:
            row = row_of_report(report)
            if row is not None and row.kind:
                groups.setdefault(row.kind, []).append((report, row))
        hidden = set()
        for kind, members in groups.items():
            shown = 1 if members[0][1].signature == kind else UNNAMED_SHOWN
            if len(members) <= shown:
                continue
            report, rest = members[shown - 1][0], members[shown:]
            hidden |= {id(one) for one, _ in rest}
            self._changed.append((report, report.location, report.longrepr))
            rows = [row for _, row in members]
            if shown == 1:
                attempts = sum(row.alike for row in rows)
                title = f"{kind}: {count(len(rows), 'item')}, {count(attempts, 'attempt')}"
                report.location = (*report.location[:2], title)
            report.longrepr = f"{report.longrepr}\n{others(kind, [row for _, row in rest], width)}"
        if hidden:
            stats["failed"] = [one for one in self._failed if id(one) not in hidden]

    def put_back(self) -> None:
        """Unfold the list. Called by the hook that prints the table, before pytest's goes on to the short summary."""
        if self._reports is not None and self._failed:
            self._reports["failed"] = self._failed
        for report, location, longrepr in self._changed:
            report.location, report.longrepr = location, longrepr
        self._reports, self._changed = None, []


def others(kind: str, rows: Sequence[ItemRow], width: int) -> str:
    """Return the list of items that failed in the same way, file by file: failed attempts of those that count."""
    files = []
    for path, of_file in itertools.groupby(rows[:LISTED_MAX], key=lambda row: row.item.partition("::")[0]):
        items = ", ".join(
            f"{row.item.partition('::')[2]}{_STUCK}{row.failures}/{row.counted}" for row in of_file
        )
        files.append(f"{path}: {items}")
    if len(rows) > LISTED_MAX:
        files.append(f"{len(rows) - LISTED_MAX} more in the table below")
    lines = [f"  {kind}: the same in {count(len(rows), 'more item')}, whose blocks -v prints:"]
    lines += textwrap.wrap(
        "; ".join(files), width, initial_indent="    ", subsequent_indent="    ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return "\n".join(lines).replace(_STUCK, " ")


def row_of_report(report: Any) -> ItemRow | None:
    """Return the row that a report carries; None for one of somebody else's tests."""
    data = getattr(report, "mps", None)
    return ItemRow.from_data(data) if data is not None and report.when == "call" else None
