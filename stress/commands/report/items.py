"""Items as a page shows them: under their file, and with names that break between their parts only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping

from stress.commands.report.html import Markup
from stress.commands.report.html import escape
from stress.commands.report.html import tag
from stress.record.aggregate import Cell

_AFTER = re.compile(r"(?<=[\[\]/_.:-])(?=[^\s\[\]/_.:-])")
"""Where a name may be broken: after punctuation, never inside a word."""


def name(text: str) -> Markup:
    """Return a name that a narrow screen breaks after punctuation."""
    parts = (escape(part) for part in _AFTER.split(text))
    return tag("span", Markup("<wbr>".join(parts)), class_="name")


def file_of(item: str) -> str:
    """Return the file of a node id."""
    return item.partition("::")[0]


def short(item: str) -> str:
    """Return a node id without its file."""
    return item.partition("::")[2] or item


def by_file(items: Iterable[str]) -> Mapping[str, list[str]]:
    """Return file -> its items, in the order in which they come."""
    found: dict[str, list[str]] = {}
    for one in items:
        found.setdefault(file_of(one), []).append(one)
    return found


def rows_by_file(rows: Mapping[str, Markup], columns: int) -> Iterator[Markup]:
    """Yield the rows of items, each file's under a row with its name; of one item -> its row."""
    for file, items in by_file(rows).items():
        heading = tag("tr", tag("th", name(file), colspan=columns, scope="rowgroup"), class_="file")
        yield Markup(heading + "".join(rows[item] for item in items))


def failed_text(cell: Cell) -> str:
    return f"{cell.failures}/{cell.counted}"


def control_text(cell: Cell) -> str:
    """Return what the one-thread control gave."""
    return f"{cell.control_failures}/{cell.control_counted}" if cell.controls else "not run"
