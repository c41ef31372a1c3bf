"""Threads in pairs: one makes, the other takes, through a mailbox that never blocks for ever. For scenarios.

A scenario whose threads wait for each other needs `reference()`: one thread alone would wait for its partner.
"""

from __future__ import annotations

import queue
from typing import Any

WAIT_S_MAX = 20.0


class Pairs:
    """A mailbox for each two threads: an even one makes, the odd one after it takes. A lone last one does both."""

    def __init__(self, threads: int, *, capacity: int) -> None:
        self._threads = threads
        self._boxes: list[queue.Queue[Any]] = [queue.Queue(capacity) for _ in range((threads + 1) // 2)]
        self._is_broken = [False] * len(self._boxes)

    def makes(self, thread: int) -> bool:
        return thread % 2 == 0

    def takes(self, thread: int) -> bool:
        return thread % 2 == 1 or thread == self._threads - 1

    def put(self, thread: int, item: Any) -> None:
        """Hand `item` to the partner; wait while it is behind by the mailbox's capacity."""
        self._check(thread)
        try:
            self._boxes[thread // 2].put(item, timeout=WAIT_S_MAX)
        except queue.Full:
            self._break(thread)

    def get(self, thread: int) -> Any:
        """Return what the partner has made; wait for it."""
        self._check(thread)
        try:
            return self._boxes[thread // 2].get(timeout=WAIT_S_MAX)
        except queue.Empty:
            self._break(thread)

    def _check(self, thread: int) -> None:
        if self._is_broken[thread // 2]:
            raise RuntimeError("the partner thread has failed")

    def _break(self, thread: int) -> None:
        """Give up: otherwise a later thread would wait as long again."""
        self._is_broken[thread // 2] = True
        raise RuntimeError(f"the partner thread did nothing for {WAIT_S_MAX:g} s")
