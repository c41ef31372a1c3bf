"""What GitHub Actions shows of a run: an annotation for each kind of failure, and the summary of the step.

Commands and their escapes: docs.github.com, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.model.markdown import bullets
from stress.model.markdown import code
from stress.model.markdown import plain
from stress.model.markdown import table
from stress.model.text import count
from stress.plugin.terminal.item_row import ItemRow
from stress.plugin.terminal.item_row import rate_text

SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
ANNOTATIONS_MAX = 10
"""GitHub shows no more errors of one step."""
ROWS_MAX = 50


@dataclass(frozen=True)
class PlacedRow:
    """An item that is not green, and where its scenario is."""

    row: ItemRow
    file: Path
    line: int
    """From 1."""


def error_lines(failed: Sequence[PlacedRow], env: Mapping[str, str] = os.environ) -> list[str]:
    """Return a line for each kind of failure, at its first item; none outside GitHub Actions."""
    if env.get("GITHUB_ACTIONS") != "true":
        return []
    kinds: dict[str, list[PlacedRow]] = {}
    for one in failed:
        kinds.setdefault(one.row.kind or one.row.item, []).append(one)
    return [_annotation(members, env) for members in list(kinds.values())[:ANNOTATIONS_MAX]]


def _annotation(members: Sequence[PlacedRow], env: Mapping[str, str]) -> str:
    first, row = members[0], members[0].row
    where = {}
    workspace = env.get("GITHUB_WORKSPACE")
    if workspace and first.file.is_relative_to(workspace):  # any other file is none of the repository's
        where = {"file": str(first.file.relative_to(workspace)), "line": str(first.line)}
    properties = {**where, "title": f"{row.word}: {row.signature or row.item.rpartition('::')[2]}"}
    more = f"; the same in {count(len(members) - 1, 'more item')}" if len(members) > 1 else ""
    text = f"{row.item}: {row.failures} of {count(row.counted, 'attempt')} failed: {row.headline}{more}"
    told = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
    return f"::error {told}::{_escaped(text)}"


def _escaped(text: str, also: str = "") -> str:
    return "".join(f"%{ord(one):02X}" if one in f"%\r\n{also}" else one for one in text)


def summary(title: str, rows: Sequence[ItemRow], sentences: Sequence[str]) -> str:
    """Return the Markdown of a run: what is not clean, and the sentences below the closing table."""
    parts = [f"### {plain(title)}"]
    shown = [row for row in rows if not row.is_clean and not (row.canary and row.verdict.is_green)]
    if shown:
        headings = ["item", "verdict", "failed", "rate, 95 %", "one thread"]
        parts.append(table(headings, map(_cells, shown[:ROWS_MAX])))
    if len(shown) > ROWS_MAX:
        parts.append(f"{len(shown) - ROWS_MAX} more are in the records.")
    return "\n\n".join([*parts, bullets(map(plain, sentences))]) + "\n"


def _cells(row: ItemRow) -> list[str]:
    rate = rate_text(row) or "nothing counts"
    control = f"{row.control_failures}/{row.controls}" if row.controls else "not run"
    failed = f"{row.failures}/{row.counted}" if row.counted else "-"
    return [code(row.item), plain(row.word), failed, rate, control]


def append_summary(markdown: str, env: Mapping[str, str] = os.environ) -> str:
    """Append to the step's summary, where there is one; return why that failed, or an empty text."""
    path = env.get(SUMMARY_VARIABLE)
    if not path:
        return ""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(markdown)
    except OSError as error:
        return f"{SUMMARY_VARIABLE}={path}: cannot write the summary: {error.strerror}"
    return ""
