"""`Perturbation`: the context manager around a crew thread's work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from stress.child.perturb.schedule import Disturber
from stress.child.perturb.scope import TraceScope

MODES = ("none", "op", "line", "opcode")
LEVEL_NAMES = ("off", "low", "high")

# A third is "none": perturbation hides bugs too. The modes that found most in the spike come first, because
# many runs are cut short by a time budget. The fifth attempt, a quick item's last one, is "none" and not a second
# "op": three items on idle cores took three to five times as long in that mode as in "none".
_ROTATION = ("op", "line", "none", "opcode", "none", "op", "line", "opcode", "none")


class Boundaries(Protocol):
    """A way to observe one thread's boundaries. All methods are called in that thread."""

    def start(self) -> str | None:
        """Call the disturber at each boundary from now on; return why that is impossible, or None."""

    def stop(self) -> None:
        """Undo `start`. Not called where `start` returned a reason."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


def mode_for(attempt: int, level: str) -> str:
    """Return the mode of the attempt with this number (from 0): a third of any nine are "none"."""
    if level not in LEVEL_NAMES:
        raise ValueError(f"perturbation level {level!r}: choose one of {', '.join(LEVEL_NAMES)}")
    return "none" if level == "off" else _ROTATION[attempt % len(_ROTATION)]


@contextmanager
def kept_ready() -> Iterator[None]:
    """Keep what perturbation installs in the process (Python 3.12 on) from one use to the next."""
    if sys.version_info < (3, 12):
        yield
        return
    from stress.child.perturb.monitoring import MONITOR

    MONITOR.hold()
    try:
        yield
    finally:
        MONITOR.let_go()


class Perturbation(AbstractContextManager["Perturbation"]):
    """Disturb the schedule of the thread that enters, until it leaves. One object per thread and use.

    After leaving: `points` boundaries were seen, at which the thread yielded `yields` times and slept
    `delays` times; that took `delayed_s` of `elapsed_s` (measured, waiting for the GIL included). `dropped`
    choices had no room left in the budget. `delayed_s` is at most the level's share of `elapsed_s` plus its
    allowance plus `longest_s`, the longest single sleep, which may begin just inside the budget. `blocked` says why nothing was perturbed, or is None.
    """

    def __init__(
        self,
        mode: str,
        level: str,
        *,
        seed: int,
        thread_index: int,
        scope: TraceScope,
        stamp: Callable[[str], None] | None = None,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"perturbation mode {mode!r}: choose one of {', '.join(MODES)}")
        if level not in LEVEL_NAMES:
            raise ValueError(f"perturbation level {level!r}: choose one of {', '.join(LEVEL_NAMES)}")
        self.mode = "none" if level == "off" else mode
        self.level = level
        self.blocked: str | None = None
        self.elapsed_s = 0.0
        self._seed = seed
        self._thread_index = thread_index
        self._scope = scope
        self._stamp = stamp
        self._disturber: Disturber | None = None
        self._boundaries: Boundaries | None = None
        self._started_s = 0.0

    @property
    def points(self) -> int:
        return self._disturber.points if self._disturber else 0

    @property
    def yields(self) -> int:
        return self._disturber.yields if self._disturber else 0

    @property
    def delays(self) -> int:
        return self._disturber.delays if self._disturber else 0

    @property
    def dropped(self) -> int:
        return self._disturber.dropped if self._disturber else 0

    @property
    def delayed_s(self) -> float:
        return self._disturber.delayed_s if self._disturber else 0.0

    @property
    def longest_s(self) -> float:
        return self._disturber.longest_s if self._disturber else 0.0

    def __enter__(self) -> Perturbation:
        self._started_s = time.perf_counter()
        if self.mode != "none":
            self._disturber = Disturber(self.mode, self.level, self._seed, self._thread_index)
            boundaries = self._make_boundaries(self._disturber)
            self.blocked = boundaries.start()
            if self.blocked is None:
                self._boundaries = boundaries
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        boundaries, self._boundaries = self._boundaries, None
        if boundaries is not None:
            boundaries.stop()
        self.elapsed_s = time.perf_counter() - self._started_s

    def pause(self) -> None:
        """Leave the thread alone until `resume`; a pause costs next to nothing, unlike leaving."""
        if self._boundaries is not None:
            self._boundaries.pause()

    def resume(self) -> None:
        if self._boundaries is not None:
            self._boundaries.resume()

    def _make_boundaries(self, disturber: Disturber) -> Boundaries:
        """Import what the mode needs only now: torch for "op", and one of two ways to see lines."""
        if self.mode == "op":
            from stress.child.perturb.op_mode import OpBoundaries

            return OpBoundaries(disturber, self._stamp)
        if sys.version_info >= (3, 12):
            from stress.child.perturb.monitoring import MonitoredThread

            return MonitoredThread(disturber, self._scope, self.mode, self.level, self._seed)
        from stress.child.perturb.settrace import TracedThread

        return TracedThread(disturber, self._scope, self.mode, self.level, self._seed)
