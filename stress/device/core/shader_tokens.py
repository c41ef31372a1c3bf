"""Tokens of preprocessed Metal Shading Language, each with its place in the text and its line in the source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<directive>^[ \t]*\#[^\n]*$)
    |(?P<space>\s+)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<word>[A-Za-z_]\w*)
    |(?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
    |(?P<mark>::|->|.)""",
    re.VERBOSE | re.MULTILINE,
)
_LINE = re.compile(r'^[ \t]*#[ \t]*(?:line[ \t]+)?(?P<line>\d+)[ \t]+"(?P<file>(?:[^"\\]|\\.)*)"')
_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Token:
    """A word, number, string or mark; spaces and directives are none."""

    text: str
    begin: int
    end: int
    is_word: bool


class MetalSourceError(Exception):
    """A Metal text cannot be compiled; the sentence names its line."""

    source = "a Metal library"
    """The file, where it is one of a tree's."""


class NotCarried(MetalSourceError):
    """A text uses what the simulated Metal does not have, which is named."""


class MetalText:
    """A preprocessed text as tokens."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[Token] = []
        self._directives: list[tuple[int, str, int]] = []
        for found in _TOKEN.finditer(text):
            kind = found.lastgroup
            if kind == "directive":
                line = _LINE.match(found.group())
                if line is not None:
                    self._directives.append((found.end(), line["file"], int(line["line"])))
            elif kind != "space":
                self.tokens.append(Token(found.group(), found.start(), found.end(), kind == "word"))
        self.matches = self._match()
        """The token that closes each opening bracket, by number."""

    def place(self, token: int) -> str:
        """Return FILE:LINE of a token."""
        at = self.tokens[min(token, len(self.tokens) - 1)].begin
        name, line, since = "program_source", 1, 0
        for end, file, number in self._directives:
            if end > at:
                break
            name, line, since = file.rsplit("/", 1)[-1], number, end + 1
        return f"{name}:{line + self.text.count(chr(10), since, at)}"

    def is_mark(self, token: int, text: str) -> bool:
        return token < len(self.tokens) and self.tokens[token].text == text

    def _match(self) -> dict[int, int]:
        found: dict[int, int] = {}
        open_: list[int] = []
        for number, token in enumerate(self.tokens):
            if token.text in _CLOSING:
                open_.append(number)
            elif token.text in ")]}":
                if not open_:
                    raise MetalSourceError(f"{self.place(number)}: '{token.text}' closes nothing")
                if _CLOSING[self.tokens[open_[-1]].text] != token.text:
                    break
                found[open_.pop()] = number
        if open_:
            number = open_[-1]
            raise MetalSourceError(f"{self.place(number)}: '{self.tokens[number].text}' is not closed")
        return found

    def close_angle(self, begin: int) -> int:
        """Return the token that closes the `<` at `begin`; brackets inside are passed over."""
        depth, number = 0, begin
        while number < len(self.tokens):
            text = self.tokens[number].text
            if text in _CLOSING:
                number = self.matches[number]
            elif text == "<":
                depth += 1
            elif text == ">":
                depth -= 1
                if depth == 0:
                    return number
            elif text in ";{":
                break
            number += 1
        raise MetalSourceError(f"{self.place(begin)}: '<' is not closed")

    def split(self, numbers: Sequence[int]) -> list[list[int]]:
        """Return the tokens in parts, at the commas that are in no bracket."""
        parts: list[list[int]] = [[]]
        skip_to, angles = -1, 0
        for number in numbers:
            text = self.tokens[number].text
            if number > skip_to:
                if text in _CLOSING:
                    skip_to = self.matches[number]
                elif text == "<":
                    angles += 1
                elif text == ">":
                    angles -= 1
                elif text == "," and angles == 0:
                    parts.append([])
                    continue
            parts[-1].append(number)
        return [part for part in parts if part]

    def join(self, numbers: Sequence[int]) -> str:
        return " ".join(self.tokens[number].text for number in numbers)
