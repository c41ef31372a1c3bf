"""What rich shows, as text, for commands that print it, record it or put it into a longer answer."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

from rich.console import Console
from rich.console import RenderableType


def render(what: RenderableType | Callable[[Console], object], width: int, *, color: bool) -> str:
    """Return `what`, or what it prints on the console that it is given, as lines of at most `width` columns.

    Text is data: no markup, no emoji, and no spaces at the ends of lines.
    """
    buffer = StringIO()
    console = Console(
        file=buffer,
        width=width,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    if callable(what):
        what(console)
    else:
        console.print(what)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())
