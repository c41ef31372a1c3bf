"""HTML by function calls: what is not `Markup` is escaped, so that no text of a record can become markup."""

from __future__ import annotations

import html
from collections.abc import Iterable
from collections.abc import Sequence

from stress.model.text import LINE_CHARS_MAX
from stress.model.text import lines as safe_lines
from stress.model.text import one_line

_VOID = frozenset({"br", "meta", "path", "line", "circle"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | Markup | int | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: str | int | None) -> Markup:
    """Return an element. Attribute names lose a trailing underscore and have `-` for `_`; None leaves one out."""
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value), 2000)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{shown}>" if name in ("br", "meta") else f"<{name}{shown}/>")
    return Markup(f"<{name}{shown}>{join(children)}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Return the children one after another."""
    parts = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str | int):
            parts.append(escape(str(child)))
        else:
            parts.append(join(child))
    return Markup("".join(parts))


def escape(text: str, chars_max: int = LINE_CHARS_MAX) -> Markup:
    """Return text as HTML, on one line, with control characters made visible."""
    return Markup(html.escape(one_line(text, chars_max), quote=True))


def preformatted(text: str, lines_max: int, chars_max: int = 300) -> Markup:
    """Return the last lines of a text as a block."""
    shown = safe_lines(text.rstrip(), lines_max, chars_max)
    return Markup("<pre>" + html.escape("\n".join(shown), quote=True) + "</pre>")


def table(headings: Sequence[Child], rows: Iterable[Sequence[Child]], class_: str = "") -> Markup:
    """Return a table that scrolls sideways inside its own box, on a phone."""
    head = tag("tr", [tag("th", one, scope="col") for one in headings])
    body = [tag("tr", [_cell(one, first=not number) for number, one in enumerate(row)]) for row in rows]
    return tag(
        "div", tag("table", tag("thead", head), tag("tbody", body), class_=class_ or None), class_="scroll"
    )


def _cell(child: Child, *, first: bool) -> Markup:
    if isinstance(child, Markup) and child.startswith("<td"):
        return child
    return tag("th", child, scope="row") if first else tag("td", child)


def within(parts: Iterable[Markup], bytes_max: int) -> tuple[list[Markup], int]:
    """Return the parts that fit into so many bytes, in order, and how many were left out."""
    kept: list[Markup] = []
    left_out = used = 0
    for part in parts:
        used += len(part.encode())
        if used > bytes_max:
            left_out += 1
        else:
            kept.append(part)
    return kept, left_out


def command(line: str) -> Markup:
    """Return a command line, which a click copies."""
    return tag("code", line, class_="copy", title="click to copy")
