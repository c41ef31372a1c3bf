"""Propose an entry of results/known for a failure that nobody has described, ready to be pasted and completed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from stress.model.text import one_line
from stress.model.verdict import WRONG_VALUE_NAMES

PATTERN_TEXT_CHARS_MAX = 160
NUMBERS_MAX = 3
"""Numbers that become wildcards: the loader bounds the product of all repeats in a pattern."""

WORDS_MIN, LETTERS_MIN = 2, 12
"""A text with less than this in it is not specific to one failure."""

_MEANING = "TODO: one sentence for somebody who has just seen it, honest about what is inferred."
_NUMBER = re.compile(r"0x[0-9a-fA-F]+|(?<![A-Za-z_0-9])\d+(?![A-Za-z_0-9])|(?<=:)\d+")
_LEAD = re.compile(
    r"^(?:\[[^\]]{0,40}\] |\d{4}-\d\d-\d\d[T ][\d:.,]+Z? |python[\d.]*\(\d+,0x[0-9a-f]+\) |==\d+==)+"
)


def propose_text(line: str, said: str, signal: str | None = None) -> str | None:
    """Return an entry for a line of text: what differs from run to run becomes a bounded wildcard.

    `said` is the text that will be searched for it. None where the entry would not be found there, because the line is a
    sentence of ours, and where it would be found everywhere: a pattern of numbers, or the words of every wrong value.
    """
    text = _LEAD.sub("", line, count=1).strip()[:PATTERN_TEXT_CHARS_MAX]
    pattern = _generalised(text)
    if _is_too_wide(text) or re.search(pattern, said) is None:
        return None
    entry = [("id", _literal(f"new/{_slug(text)}")), ("pattern", _literal(pattern))]
    return _entry(entry, signal)


def _is_too_wide(text: str) -> bool:
    """Whether so many other failures have the same words that naming one would name them all."""
    if text.partition(":")[0] in WRONG_VALUE_NAMES:
        return True
    words = re.findall(r"[A-Za-z_]{3,}", _NUMBER.sub(" ", text))
    return len(words) < WORDS_MIN or sum(map(len, words)) < LETTERS_MIN


def propose_frames(frames: Sequence[str], signal: str | None) -> str:
    """Return an entry for a crash report that says nothing but where it happened."""
    own = next((one for one in frames if not re.match(r"libsystem|libdyld|dyld|libc\+\+abi", one)), frames[0])
    name = re.sub(r" \+ \d+$", "", own)[:PATTERN_TEXT_CHARS_MAX]
    entry = [
        ("id", _literal(f"new/{_slug(name)}")),
        ("frames", f"[{_literal(_escaped(name))}]"),
        ("frames_depth", str(frames.index(own) + 1)),
    ]
    return _entry(entry, signal)


def propose_race(signature: str) -> str:
    """Return an entry for a report, by the name that it has in every build."""
    return _entry(
        [
            ("id", _literal(f"tsan/{_slug(signature.removeprefix('tsan/'))}")),
            ("pattern", _literal(f"^{_escaped(signature[: PATTERN_TEXT_CHARS_MAX * 2])}")),
        ],
        None,
    )


def _entry(keys: list[tuple[str, str]], signal: str | None) -> str:
    lines = ["[[signature]]", *(f"{key} = {value}" for key, value in keys)]
    if signal is not None and re.fullmatch(r"SIG[A-Z0-9]{2,10}", signal):
        lines.append(f'signals = ["{signal}"]')
    lines += [f'meaning = "{_MEANING}"', "links = []"]
    return "\n".join(lines)


def _generalised(text: str) -> str:
    """Return a pattern for `text`; it ends where too many numbers would make it unbounded."""
    parts: list[str] = []
    at = 0
    for count, number in enumerate(_NUMBER.finditer(text)):
        parts.append(_escaped(text[at : number.start()]))
        at = number.end()
        if count == NUMBERS_MAX:
            return "".join(parts)
        parts.append(r"0x[0-9a-fA-F]{1,16}" if number[0].startswith("0x") else r"\d{1,9}")
    parts.append(_escaped(text[at:]))
    return "".join(parts)


def _escaped(text: str) -> str:
    """Return a pattern for `text`: what cannot be printed matches any character, a space stays readable."""
    return "".join(
        "." if not one.isprintable() else f"\\{one}" if one in r"\.^$*+?{}[]|()" else one for one in text
    )


def _slug(text: str) -> str:
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words)[:50].strip("-") or "unnamed"


def _literal(text: str) -> str:
    """Return `text` as a TOML string: a literal one where that is possible, because patterns are full of backslashes."""
    shown = one_line(text, chars_max=1000)
    if "'" not in shown:
        return f"'{shown}'"
    escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
