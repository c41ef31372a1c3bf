"""Line and opcode boundaries through `sys.monitoring`: Python 3.12 and later.

The events are the process's, not a thread's, so one `Monitor` serves all threads: a callback looks up the
disturber of the thread it runs in. Only code in scope is instrumented (each code object is looked at once,
at its first call, and then never again), so everything else runs at full speed. Coverage, profilers and
debuggers have their own tool ids and are not disturbed; a thread is refused only when every free id is
taken.
"""

from __future__ import annotations

import itertools
import sys
import threading
from types import CodeType
from typing import Any

from stress.child.perturb.schedule import Disturber
from stress.child.perturb.scope import TraceScope
from stress.child.perturb.scope import verdicts_of

# 0, 1, 2 and 5 are spoken for: debugger, coverage, profiler, optimiser.
_TOOL_IDS = (3, 4)
_TOOL_NAME = "mps-stress"


class Monitor:
    """The process's one user of `sys.monitoring`, installed while a thread is perturbed or it is held."""

    def __init__(self) -> None:
        # Re-entrant: while `acquire` holds it, the calls that it makes are events themselves.
        self._lock = threading.RLock()
        self._users = 0
        self._holders = 0
        self._tool: int | None = None
        # A tuple, replaced whole: callbacks of other threads iterate over it without the lock.
        self._scopes: tuple[TraceScope, ...] = ()
        self._events_wanted = 0
        self._instrumented: set[CodeType] = set()
        self._disturbers: dict[int, tuple[str, Disturber]] = {}
        self._children: tuple[str, str, int] | None = None
        self._child_numbers = itertools.count()

    def acquire(self, scope: TraceScope, mode: str) -> str | None:
        """Install what `scope` and `mode` need and count one user; return the reason if that is impossible."""
        with self._lock:
            if self._tool is None:
                self._tool = _free_tool()
                if self._tool is None:
                    return f"sys.monitoring has no free tool id (tried {_TOOL_IDS})"
                self._install(self._tool)
            self._users += 1
            monitoring = _monitoring()
            event = monitoring.events.INSTRUCTION if mode == "opcode" else monitoring.events.LINE
            if scope not in self._scopes or not self._events_wanted & event:
                self._scopes = (*dict.fromkeys((*self._scopes, scope)),)
                self._events_wanted |= event
                # Code that was checked before and found to be out of scope is switched off: check it again.
                monitoring.restart_events()
            return None

    def release(self) -> None:
        """Count one user less; the last one leaves `sys.monitoring` as it was found, unless it is held."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                # Threads that still run, started by threads that left, no longer have a parent here.
                self._children = None
                self._disturbers.clear()
            self._uninstall_when_unused()

    def hold(self) -> None:
        """Stay installed between uses: installing again for every small test doubles the test's cost."""
        with self._lock:
            self._holders += 1

    def let_go(self) -> None:
        with self._lock:
            self._holders -= 1
            self._uninstall_when_unused()

    def _uninstall_when_unused(self) -> None:
        if self._users == 0 and self._holders == 0 and self._tool is not None:
            self._uninstall(self._tool)
            self._tool = None

    def join(self, mode: str, level: str, seed: int, disturber: Disturber) -> None:
        """Make `disturber` the calling thread's; threads that it starts get their own."""
        self._disturbers[threading.get_ident()] = (mode, disturber)
        self._children = (mode, level, seed)

    def leave(self) -> None:
        self._disturbers.pop(threading.get_ident(), None)

    def silence(self, disturber: Disturber) -> None:
        """Keep the calling thread's entry, so that it is not taken for another thread's child, without a mode."""
        self._disturbers[threading.get_ident()] = ("", disturber)

    def _install(self, tool: int) -> None:
        monitoring = _monitoring()
        monitoring.use_tool_id(tool, _TOOL_NAME)
        monitoring.register_callback(tool, monitoring.events.PY_START, self._on_start)
        monitoring.register_callback(tool, monitoring.events.LINE, self._on_line)
        monitoring.register_callback(tool, monitoring.events.INSTRUCTION, self._on_instruction)
        monitoring.set_events(tool, monitoring.events.PY_START)
        self._child_numbers = itertools.count()

    def _uninstall(self, tool: int) -> None:
        monitoring = _monitoring()
        monitoring.set_events(tool, 0)
        # Freeing the id does not clear the events of single code objects (seen on 3.12 and 3.13).
        for code in self._instrumented:
            monitoring.set_local_events(tool, code, 0)
        for event in ("PY_START", "LINE", "INSTRUCTION"):
            monitoring.register_callback(tool, getattr(monitoring.events, event), None)
        monitoring.free_tool_id(tool)
        self._instrumented.clear()
        self._scopes = ()
        self._events_wanted = 0

    def _on_start(self, code: CodeType, offset: int) -> Any:
        monitoring = _monitoring()
        if self._is_covered(code):
            with self._lock:
                # Not after the last user left: these events would never be switched off again.
                if self._tool is not None:
                    self._instrumented.add(code)
                    monitoring.set_local_events(self._tool, code, self._events_wanted)
        return monitoring.DISABLE

    def _is_covered(self, code: CodeType) -> bool:
        filename = code.co_filename
        for scope in self._scopes:
            verdicts = verdicts_of(scope)
            inside = verdicts.get(filename)
            if inside is None:
                module = str(sys._getframe(2).f_globals.get("__name__", ""))
                inside = verdicts[filename] = scope.covers(filename, module)
            if inside:
                return True
        return False

    def _on_line(self, code: CodeType, line: int) -> None:
        self._point("line")

    def _on_instruction(self, code: CodeType, offset: int) -> None:
        self._point("opcode")

    def _point(self, event_mode: str) -> None:
        entry = self._disturbers.get(threading.get_ident())
        if entry is None:
            entry = self._adopt()
        if entry is not None and entry[0] == event_mode:
            entry[1].point()

    def _adopt(self) -> tuple[str, Disturber] | None:
        """Give a thread that a step started its own disturber; the main thread is never perturbed."""
        children = self._children
        if children is None or threading.get_ident() == threading.main_thread().ident:
            return None
        mode, level, seed = children
        entry = (mode, Disturber(mode, level, seed, f"child {next(self._child_numbers)}"))
        self._disturbers[threading.get_ident()] = entry
        return entry


MONITOR = Monitor()


class MonitoredThread:
    """The calling thread's use of the monitor."""

    def __init__(self, disturber: Disturber, scope: TraceScope, mode: str, level: str, seed: int) -> None:
        self._disturber = disturber
        self._scope = scope
        self._key = (mode, level, seed)

    def start(self) -> str | None:
        reason = MONITOR.acquire(self._scope, self._key[0])
        if reason is None:
            self.resume()
        return reason

    def stop(self) -> None:
        MONITOR.leave()
        MONITOR.release()

    def pause(self) -> None:
        MONITOR.silence(self._disturber)

    def resume(self) -> None:
        MONITOR.join(*self._key, self._disturber)


def _monitoring() -> Any:
    """Return `sys.monitoring`, which type checkers of Python 3.11 do not know."""
    return vars(sys)["monitoring"]


def _free_tool() -> int | None:
    monitoring = _monitoring()
    return next((tool for tool in _TOOL_IDS if monitoring.get_tool(tool) is None), None)
