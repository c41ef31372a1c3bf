"""Op boundaries through a `TorchDispatchMode`. The only module of this package that imports torch.

Not intercepted: dlpack, and ops of threads that a step starts. What an autograd engine thread runs on
behalf of a crew thread is intercepted, in that other thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from torch.utils import _python_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

from stress.child.perturb.schedule import YIELD_S
from stress.child.perturb.schedule import Disturber

# Module globals of torch that every mode saves at entry and restores at exit. Crew threads enter and leave in
# any order, and "restore what I saw" then leaves them set for ever (23 of 30 crews): the first one in keeps
# what they were and the last one out puts it back.
_FLAGS = (
    "_is_in_torch_dispatch_mode",
    "_is_in_non_infra_torch_dispatch_mode",
    "_is_in_any_mode_without_ignore_compile_internals",
)
_lock = threading.Lock()
_inside = 0
_flags_before: dict[str, bool] = {}


class _Mode(TorchDispatchMode):
    """Disturb the owner before and after each of its ops, and stamp the op that is in flight."""

    def __init__(self, disturber: Disturber, stamp: Callable[[str], None] | None) -> None:
        super().__init__()
        self._disturber = disturber
        self._stamp = stamp
        self._owner = threading.get_ident()
        self._names: dict[object, str] = {}
        self.is_paused = False

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Keep `torch.compile` on: under a plain mode it silently compiles nothing and runs eagerly."""
        return True

    def __enter__(self) -> _Mode:
        global _inside
        with _lock:
            if _inside == 0:
                _flags_before.update({name: bool(getattr(_python_dispatch, name, False)) for name in _FLAGS})
            super().__enter__()
            _inside += 1
        return self

    def __exit__(self, *exc_info: Any) -> None:
        global _inside
        with _lock:
            super().__exit__(*exc_info)
            _inside -= 1
            if _inside == 0:
                for name, value in _flags_before.items():
                    if hasattr(_python_dispatch, name):
                        setattr(_python_dispatch, name, value)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if threading.get_ident() != self._owner:
            # The engine's one thread serves all crew threads: a yield is fine, a delay would make it the
            # bottleneck, and the owner's counters are not ours to touch.
            time.sleep(YIELD_S)
            return func(*args, **(kwargs or {}))
        if not self.is_paused:
            self._disturber.point()
        if self._stamp is None:
            result = func(*args, **(kwargs or {}))
        else:
            self._stamp(self._name_of(func))
            try:
                result = func(*args, **(kwargs or {}))
            finally:
                self._stamp("")
        if not self.is_paused:
            self._disturber.point()
        return result

    def _name_of(self, func: object) -> str:
        name = self._names.get(func)
        if name is None:
            name = self._names[func] = str(func)
        return name


class OpBoundaries:
    """The calling thread's dispatch mode."""

    def __init__(self, disturber: Disturber, stamp: Callable[[str], None] | None) -> None:
        self._mode = _Mode(disturber, stamp)

    def start(self) -> str | None:
        self._mode.__enter__()
        return None

    def stop(self) -> None:
        self._mode.__exit__(None, None, None)

    def pause(self) -> None:
        self._mode.is_paused = True

    def resume(self) -> None:
        self._mode.is_paused = False
