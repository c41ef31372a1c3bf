"""The author's line on the calling thread's stack: the first one that is not torch's, ours or the standard library's."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from stress.model.shipped import DATA_IN_WHEEL
from stress.order.clocks import Site

_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
_DATA = str(DATA_IN_WHEEL) + os.sep
_STANDARD = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")})
_SITE_PACKAGES = ("site-packages", "dist-packages")

_is_authors: dict[str, bool] = {}
"""File name, as in a code object -> whether its lines are the author's."""


def author_line(depth: int = 1) -> Site | None:
    """Return the line that the running call comes from; None on a stack without any, as of autograd's threads.

    The `depth` innermost frames are known to be ours.
    """
    frame = sys._getframe(depth)
    while frame is not None:
        name = frame.f_code.co_filename
        known = _is_authors.get(name)
        if known is None:
            known = _is_authors[name] = _decide(name)
        if known:
            return tuple.__new__(Site, (name, frame.f_lineno))  # a third of what Site(...) takes
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _decide(name: str) -> bool:
    if name.startswith("<frozen") or name == "<string>":
        return False
    path = os.path.realpath(name)
    if path.startswith(_PACKAGE) and not path.startswith(_DATA):
        return False
    torch_file = getattr(sys.modules.get("torch"), "__file__", None)
    if torch_file and path.startswith(os.path.dirname(os.path.realpath(torch_file)) + os.sep):
        return False
    if path.startswith(_STANDARD) and not any(f"{os.sep}{one}{os.sep}" in path for one in _SITE_PACKAGES):
        return False
    return not any(
        f"{os.sep}{one}{os.sep}{own}{os.sep}" in path
        for one in _SITE_PACKAGES
        for own in ("pytest", "_pytest")
    )
