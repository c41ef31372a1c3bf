"""Op boundaries through a `TorchDispatchMode`. This module alone of the package imports torch.

Not intercepted: dlpack, and ops of threads that a step starts. What an autograd engine thread runs on
behalf of a crew thread is intercepted, in that other thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from stress.child.perturb.schedule import YIELD_S
from stress.child.perturb.schedule import Disturber
from stress.order.dispatch_mode import CrewMode


class _Mode(CrewMode):
    """Disturb the owner before and after each of its ops, and stamp the op that is in flight."""

    def __init__(self, disturber: Disturber, stamp: Callable[[str], None] | None) -> None:
        super().__init__()
        self._disturber = disturber
        self._stamp = stamp
        self._owner = threading.get_ident()
        self._names: dict[object, str] = {}
        self.is_paused = False

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
