"""Line and opcode boundaries through `sys.settrace`: Python 3.11, where `sys.monitoring` does not exist.

`sys.settrace` belongs to a thread and to one tool. Coverage and debuggers use it too, so a thread that has a
trace function already is left alone: replacing theirs would blind them, and chaining (tried) breaks
debuggers, which put their own function into `frame.f_trace`.
"""

from __future__ import annotations

import itertools
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING
from typing import Any

from stress.child.perturb.schedule import Disturber
from stress.child.perturb.scope import TraceScope
from stress.child.perturb.scope import verdicts_of

if TYPE_CHECKING:
    from _typeshed import TraceFunction


class Tracer:
    """The trace functions of one thread: every line (or opcode) of code in scope is a boundary."""

    def __init__(self, disturber: Disturber, scope: TraceScope, mode: str) -> None:
        self._point = disturber.point
        self._scope = scope
        self._verdicts = verdicts_of(scope)
        self._opcodes = mode == "opcode"
        self._event = mode

    def on_call(self, frame: FrameType, event: str, arg: Any) -> TraceFunction | None:
        code = frame.f_code
        inside = self._verdicts.get(code.co_filename)
        if inside is None:
            inside = self._scope.covers(code.co_filename, str(frame.f_globals.get("__name__", "")))
            self._verdicts[code.co_filename] = inside
        if not inside:
            return None
        if self._opcodes:
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        return self._on_boundary

    def _on_boundary(self, frame: FrameType, event: str, arg: Any) -> TraceFunction | None:
        if event == self._event:
            self._point()
        return self._on_boundary


class TracedThread:
    """Trace the calling thread and, as far as possible, the threads that it starts."""

    def __init__(self, disturber: Disturber, scope: TraceScope, mode: str, level: str, seed: int) -> None:
        self._on_call = Tracer(disturber, scope, mode).on_call
        self._for_children = (mode, level, seed, scope)

    def start(self) -> str | None:
        current = sys.gettrace()
        if current is not None and not _is_ours(current):
            return f"the thread has a trace function already ({_describe(current)})"
        CHILDREN.acquire(*self._for_children)
        sys.settrace(self._on_call)
        return None

    def stop(self) -> None:
        self.pause()
        CHILDREN.release()

    def pause(self) -> None:
        # Unless a debugger that the body started has taken over in the meantime.
        if _is_ours(sys.gettrace()):
            sys.settrace(None)

    def resume(self) -> None:
        if sys.gettrace() is None:
            sys.settrace(self._on_call)


class SpawnedThreads:
    """Trace the threads that a step starts itself, as long as any crew thread is being traced.

    `threading.settrace` is process-wide, hence the count. Without it such threads simply run untraced.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._numbers = itertools.count()
        self._make: tuple[str, str, int, TraceScope] | None = None

    def acquire(self, mode: str, level: str, seed: int, scope: TraceScope) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1 and threading.gettrace() is None:
                self._make = (mode, level, seed, scope)
                self._numbers = itertools.count()
                threading.settrace(self.on_first_call)

    def release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._make = None
                if threading.gettrace() == self.on_first_call:
                    threading.settrace(None)

    def on_first_call(self, frame: FrameType, event: str, arg: Any) -> TraceFunction | None:
        """Replace this function, which `threading` installed, by the new thread's own tracer."""
        make = self._make
        if make is None:
            sys.settrace(None)
            return None
        mode, level, seed, scope = make
        disturber = Disturber(mode, level, seed, f"child {next(self._numbers)}")
        tracer = Tracer(disturber, scope, mode)
        sys.settrace(tracer.on_call)
        return tracer.on_call(frame, event, arg)


CHILDREN = SpawnedThreads()


def _is_ours(function: object) -> bool:
    return isinstance(getattr(function, "__self__", None), (Tracer, SpawnedThreads))


def _describe(function: object) -> str:
    owner = getattr(function, "__module__", None) or type(function).__module__
    return f"{owner}.{getattr(function, '__qualname__', type(function).__qualname__)}"
