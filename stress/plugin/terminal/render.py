"""A rich table as text, for commands that print it, record it or put it into a longer answer."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.console import RenderableType


def render(what: RenderableType, width: int, *, color: bool) -> str:
    """Return `what` as lines of at most `width` columns, without spaces at their ends."""
    buffer = StringIO()
    console = Console(
        file=buffer,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
    )
    console.print(what)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
