"""The pages that people read, as data: fenced blocks with their markers, commands, links, headings."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
AGENTS = ROOT / "AGENTS.md"
PAGES = (README, AGENTS, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md")))

PROGRAMS = ("pytest", "mps-stress", "make", "python")
"""What the tests run. Other programs in shell blocks are listed in `test_commands.OTHER_PROGRAMS`."""

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")
_MARKER = re.compile(r"<!-- (not run|parsed only): (.+) -->")
_OPERATOR = re.compile(r"&&|\|\||[;|&]")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    title: str
    text: str
    marker: str
    """`not run` or `parsed only`, from the HTML comment above it; "" for a block whose commands are run."""
    reason: str
    """What that comment says."""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command of a shell block, as words of a shell."""

    block: Block
    words: tuple[str, ...]

    @property
    def program(self) -> str:
        return self.words[0].rpartition("/")[2]

    @property
    def text(self) -> str:
        return shlex.join(self.words)


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page, those in lists and admonitions too."""
    lines = page.read_text(encoding="utf-8").splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is None:
            at += 1
            continue
        end = next(i for i in range(at + 1, len(lines)) if lines[i] == f"{fence['indent']}```")
        language, _, rest = fence["info"].partition(" ")
        title = re.fullmatch(r'title="([^"]+)"', rest)
        above = next((one.strip() for one in reversed(lines[:at]) if one.strip()), "")
        marker = _MARKER.fullmatch(above)
        yield Block(
            page,
            at + 1,
            language,
            title[1] if title else "",
            textwrap.dedent("\n".join(lines[at + 1 : end])) + "\n",
            marker[1] if marker else "",
            marker[2] if marker else "",
        )
        at = end + 1


def commands(block: Block) -> Iterator[Command]:
    """Yield the simple commands of a shell block: what stands between `&&`, `;` and `|`, without comments."""
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not _OPERATOR.fullmatch(word):
                words.append(word)
            elif words:
                yield Command(block, tuple(words))
                words = []


def all_commands() -> list[Command]:
    """Return the commands of all shell blocks of all pages."""
    return [
        command
        for page in PAGES
        for block in blocks(page)
        if block.language == "sh"
        for command in commands(block)
    ]


def prose(page: Path) -> str:
    """Return the page without its fenced blocks; their lines are empty, so that line numbers stay."""
    lines = page.read_text(encoding="utf-8").splitlines()
    for block in blocks(page):
        end = block.line + block.text.count("\n") + 1
        lines[block.line - 1 : end] = [""] * (end - block.line + 1)
    return "\n".join(lines)


def anchors(page: Path) -> set[str]:
    """Return what GitHub and mkdocs make of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}
