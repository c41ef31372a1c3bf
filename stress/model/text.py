"""Make text from records safe for a terminal: control characters could move the cursor and overwrite other text."""

from __future__ import annotations

import unicodedata

LINE_CHARS_MAX = 500
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Categories of control, format (bidirectional overrides among them), surrogate and line-breaking characters."""


def one_line(text: str, chars_max: int = LINE_CHARS_MAX) -> str:
    """Return `text` on one line, with what is not printable written as an escape, cut to `chars_max`."""
    shown = text if len(text) <= chars_max else f"{text[:chars_max]}... [{len(text)} characters]"
    return shown if shown.isprintable() else "".join(map(_visible, shown))


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE:
        return character
    return character.encode("unicode_escape").decode("ascii")


def count(number: int, noun: str) -> str:
    """Return "1 run", "2 runs"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def lines(text: str, lines_max: int, chars_max: int = LINE_CHARS_MAX) -> list[str]:
    """Return the lines of `text`, the last `lines_max` of them, each made safe; tabs become spaces."""
    split = text.replace("\t", "    ").splitlines()
    return [one_line(line, chars_max) for line in split[-lines_max:]]
