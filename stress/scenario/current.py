"""`stress.current()`: the running step's thread, iteration and stream."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(slots=True)
class Step:
    """The running step's place in its attempt.

    ``thread_index`` counts from 0 within the wave. ``stream`` is the device's own stream object of this
    thread, or ``None`` where the device has none to name.
    """

    thread_index: int
    iteration: int = 0
    wave: int = 0
    thread_count: int = 1
    stream: object | None = None


_local = threading.local()


def current() -> Step:
    """Return the running step's context.

    Raises ``RuntimeError`` outside a step, and also in a thread that a step started itself: it belongs to
    no iteration.
    """
    step: Step | None = getattr(_local, "step", None)
    if step is None:
        raise RuntimeError(
            "stress.current() is only defined inside a running step; "
            "pass what your own thread needs as an argument"
        )
    return step


def is_running() -> bool:
    """Whether this thread is inside a step (framework use)."""
    return getattr(_local, "step", None) is not None


def running() -> Step | None:
    """Return the running step's context; None outside a step (framework use)."""
    return getattr(_local, "step", None)


def enter(step: Step) -> None:
    """Make `step` the current one of this thread (framework use)."""
    _local.step = step


def leave() -> None:
    _local.step = None
