"""Markdown by function calls. Text of records goes into code spans and fenced blocks, where nothing is interpreted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Sequence

from stress.model.text import lines as safe_lines
from stress.model.text import one_line

_TICKS = re.compile(r"`+")
_SPECIAL = re.compile(r"([\\`*_{}\[\]#+!|~])")
"""Parentheses mean something after a bracket only, and brackets are here."""
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}
"""A mention and a tag have no backslash escape that every renderer knows."""


def code(text: str, chars_max: int = 300) -> str:
    """Return a code span of one line; its fence is longer than any in the text."""
    shown = one_line(text, chars_max)
    if not shown.strip():
        return "(empty)"
    fence = "`" * (1 + max((len(one) for one in _TICKS.findall(shown)), default=0))
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}"


def plain(text: str, chars_max: int = 600) -> str:
    """Return text with nothing in it that Markdown or GitHub would interpret."""
    escaped = _SPECIAL.sub(r"\\\1", one_line(text, chars_max))
    shown = "".join(_ENTITIES.get(character, character) for character in escaped)
    return shown.replace("://", "&#58;//")


def block(text: str, lines_max: int) -> str:
    """Return a fenced block of the last lines of a text."""
    shown = "\n".join(safe_lines(text.rstrip(), lines_max))
    fence = "`" * max(3, 1 + max((len(one) for one in _TICKS.findall(shown)), default=0))
    return f"{fence}text\n{shown}\n{fence}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown already."""
    parts = [_row(headings), _row(["---"] * len(headings)), *map(_row, rows)]
    return "\n".join(parts)


def _row(cells: Sequence[str]) -> str:
    # A bar ends a cell even inside a code span, unless it is escaped.
    return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell).replace("\n", " ") for cell in cells) + " |"


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def folded(title: str, text: str) -> str:
    """Return a section that is closed until it is asked for; `title` is plain already."""
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"
