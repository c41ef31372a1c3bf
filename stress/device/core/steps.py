"""How much of a build is done."""

from __future__ import annotations

import threading
from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Called with what was done, and how much of the whole is done, from 0 to 1."""


class Steps:
    """Counts what is done, and reports it, one report at a time."""

    def __init__(self, count: int, progress: Progress) -> None:
        self._count = count
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    def done(self, what: str) -> None:
        with self._lock:
            self._done += 1
            self._progress(what, min(self._done / self._count, 1.0))
