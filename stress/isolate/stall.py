"""Detect a deadlock before the deadline: every thread of the child asleep, and no sign of life for a while.

A deadline has to be long enough for a busy machine, so that a deadlock costs its whole length. A process that
nobody lets run is *runnable*, though; one that is stuck sleeps. What is watched, twenty times a second: the
state of every thread of the child and its descendants (running, runnable and waiting for a disk are signs of
life), the time they ran, and the black box. A step that sleeps longer than the limit looks the same, which is
why this is off unless asked for. Only Linux shows the threads of another process; elsewhere the deadline alone decides.
"""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from stress.model import system

POLL_S = 0.05
_RUN_SHARE_MAX = 0.05
"""Threads that wait for the GIL wake up 200 times a second and use less than this.

That is at Python's own switch interval. Crews have one of 10 us, at which such threads use half a core (measured on a
virtual machine): a hang that keeps the GIL is noticed at the deadline there. Their wake-ups cannot be told from work in
small slices, and calling that a hang would be worse.
"""


class StallWatch:
    """Watches one child. Call `is_stalled` every `POLL_S`."""

    def __init__(self, pid: int, box: Path, stall_s: float) -> None:
        self._pids, self._box, self._stall_s = {pid}, box, stall_s
        self._root = pid
        self._alive_at = time.monotonic()
        self._ran_s = 0.0
        self._stamps = b""

    @staticmethod
    def works() -> bool:
        """Whether this system provides what is needed."""
        return system.can_watch_threads()

    def is_stalled(self) -> bool:
        """Look once; return whether nothing has moved for the length of the limit."""
        now = time.monotonic()
        asleep, ran_s = system.threads_of(self._pids)
        stamps = _read(self._box)
        quiet_s = now - self._alive_at
        if (
            not asleep
            or stamps != self._stamps
            or ran_s - self._ran_s > _RUN_SHARE_MAX * max(quiet_s, POLL_S)
        ):
            self._alive_at, self._ran_s, self._stamps = now, ran_s, stamps
            return False
        if quiet_s < self._stall_s:
            return False
        # Looked for only now, because it means reading all of /proc: they have to be watched as long.
        pids = {self._root, *_descendants(self._root)}
        if pids == self._pids:
            return True
        self._pids, self._alive_at = pids, now
        self._ran_s = system.threads_of(pids)[1]
        return False


def _descendants(pid: int) -> list[int]:
    try:
        return [one.pid for one in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
