"""The suppression file, read as ThreadSanitizer reads it, and what is wrong with it.

A template is searched as a substring in function, file and module of every frame of both stacks: `race:inc` also matches
`/usr/include/...` and swallows races that it was never meant for. So each one is anchored with ^ and $, says why it is
there with a link, and matches nothing of the code under test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

KINDS = ("race", "race_top", "thread", "mutex", "signal", "deadlock", "called_from_lib")
_LINK = re.compile(r"https?://\S+")
_MATCHES_SHOWN = 3


class SuppressionsError(ValueError):
    """The file cannot be read."""


@dataclass(frozen=True)
class Suppression:
    """One entry, with the comment lines directly above it."""

    line: int
    kind: str
    template: str
    reason: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.template}"

    @property
    def is_anchored(self) -> bool:
        return self.template.startswith("^") and self.template.endswith("$")

    def matches(self, text: str) -> bool:
        """Whether ThreadSanitizer would apply it to a frame with this function, file or module."""
        pattern = ".*".join(
            re.escape(part) for part in self.template.removeprefix("^").removesuffix("$").split("*")
        )
        start = "^" if self.template.startswith("^") else ""
        end = "$" if self.template.endswith("$") else ""
        return re.search(f"{start}{pattern}{end}", text, re.DOTALL) is not None


def read(path: Path) -> list[Suppression]:
    """Return the entries of the file at `path`; raise `SuppressionsError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SuppressionsError(f"the suppressions file {path} cannot be read ({error})") from error
    found, comment = [], []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#"):
            comment.append(line.lstrip("# "))
            continue
        if line:
            kind, _, template = line.partition(":")
            found.append(Suppression(number, kind, template, " ".join(comment)))
        comment = []
    return found


def problems(entries: Sequence[Suppression], code_under_test: Iterable[str]) -> list[str]:
    """Return what is wrong with the entries; `code_under_test` holds its functions, files and modules."""
    names = list(code_under_test) if entries else []
    texts = []
    for one in entries:
        where = f"suppression {one} (line {one.line})"
        if one.kind not in KINDS:
            texts.append(f"{where}: unknown kind; known are {', '.join(KINDS)}")
            continue
        link = _LINK.search(one.reason)
        if link is None or not one.reason.replace(link.group(), "").strip():
            texts.append(
                f"{where}: the comment above it gives no {'link' if one.reason else 'reason and no link'}"
            )
        if not one.is_anchored:
            texts.append(f"{where}: not anchored with ^ and $, so it matches parts of other names")
        hit = [name for name in names if one.matches(name)]
        if hit:
            shown = ", ".join(hit[:_MATCHES_SHOWN])
            texts.append(
                f"{where}: it matches code under test: {shown}{' ...' if len(hit) > _MATCHES_SHOWN else ''}"
            )
    return texts
