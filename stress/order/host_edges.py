"""What orders host threads: starting and joining them, and on level `strict` their locks.

Everything of `threading`, `queue` and `concurrent.futures` that waits is made of locks, so that three factories see it all.
Locks that were made before are not seen.
"""

from __future__ import annotations

import _thread
import contextlib
import itertools
import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from stress.order import attributes

Edges = Callable[[str, object], None]
"""("acquire", "release" or "forget", token), and ("end", token) as the last of a thread."""
_allocate_lock, _RLock, _SimpleQueue = _thread.allocate_lock, threading.RLock, queue.SimpleQueue
_numbers = itertools.count()
_ENDED = "_mps_stress_order_ended"


class _Token:
    """A lock, a queue, a thread's start or end. With it goes what is known of its last release: there may be many."""

    __slots__ = ("key",)

    def __init__(self, what: str) -> None:
        self.key = what, next(_numbers)

    def __del__(self) -> None:
        _TracedLock._edges("forget", self.key)


class StartedThreads:
    """Runs each thread that is started meanwhile inside a context of its own, with edges for its start and its end."""

    def __init__(self, edges: Edges, context: Callable[[], AbstractContextManager[object]]) -> None:
        self._edges, self._context = edges, context

    def install(self, stack: contextlib.ExitStack) -> None:
        """Begin, until the stack is closed."""
        self._start, self._join = threading.Thread.start, threading.Thread.join
        outer = self

        def start(thread: threading.Thread) -> None:
            outer._wrap(thread)
            outer._start(thread)

        def join(thread: threading.Thread, timeout: float | None = None) -> None:
            outer._join(thread, timeout)
            ended = getattr(thread, _ENDED, None)
            if ended is not None and not thread.is_alive():
                outer._edges("acquire", ended.key)

        attributes.replace(stack, threading.Thread, "start", start)
        attributes.replace(stack, threading.Thread, "join", join)

    def _wrap(self, thread: threading.Thread) -> None:
        run, started, ended = thread.run, _Token("started"), _Token("ended")

        def checked() -> None:
            with self._context():
                self._edges("acquire", started.key)
                try:
                    run()
                finally:
                    vars(thread).pop("run", None)  # it refers to the thread
                    self._edges("release", ended.key)
                    self._edges("end", ended.key)

        setattr(thread, "run", checked)  # noqa: B010
        setattr(thread, _ENDED, ended)
        self._edges("release", started.key)


class _TracedLock:
    """A lock that tells who acquired it after whom."""

    _edges: Edges = staticmethod(lambda *_: None)

    def __init__(self) -> None:
        self._lock = _allocate_lock()
        self._token = _Token("lock")

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        got = self._lock.acquire(blocking, timeout)
        if got:
            _TracedLock._edges("acquire", self._token.key)
        return got

    def release(self) -> None:
        _TracedLock._edges("release", self._token.key)
        self._lock.release()

    def locked(self) -> bool:
        return self._lock.locked()

    def _at_fork_reinit(self) -> None:
        self._lock = _allocate_lock()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _TracedRLock:
    """A lock that its owner may take again."""

    def __init__(self) -> None:
        self._lock: Any = _RLock()
        self._token = _Token("lock")

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        got = bool(self._lock.acquire(blocking, timeout))
        if got:
            _TracedLock._edges("acquire", self._token.key)
        return got

    def release(self) -> None:
        _TracedLock._edges("release", self._token.key)
        self._lock.release()

    def _release_save(self) -> Any:
        _TracedLock._edges("release", self._token.key)
        return self._lock._release_save()

    def _acquire_restore(self, state: Any) -> None:
        self._lock._acquire_restore(state)
        _TracedLock._edges("acquire", self._token.key)

    def _is_owned(self) -> bool:
        return bool(self._lock._is_owned())

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _TracedQueue:
    """`queue.SimpleQueue`, which is C and has a lock of its own."""

    def __init__(self) -> None:
        self._queue: Any = _SimpleQueue()
        self._token = _Token("queue")

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:
        _TracedLock._edges("release", self._token.key)
        self._queue.put(item, block, timeout)

    def put_nowait(self, item: object) -> None:
        self.put(item)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        item = self._queue.get(block, timeout)
        _TracedLock._edges("acquire", self._token.key)
        return item

    def get_nowait(self) -> Any:
        return self.get(False)

    def qsize(self) -> int:
        return int(self._queue.qsize())

    def empty(self) -> bool:
        return bool(self._queue.empty())


_FACTORIES = (
    (threading, "Lock", _TracedLock),
    (threading, "_allocate_lock", _TracedLock),
    (threading, "RLock", _TracedRLock),
    (queue, "SimpleQueue", _TracedQueue),
)


def trace_locks(edges: Edges) -> contextlib.ExitStack:
    """Let locks made from now on tell `edges`, until the returned stack is closed."""
    stack = contextlib.ExitStack()
    attributes.replace(stack, _TracedLock, "_edges", staticmethod(edges))
    for module, name, factory in _FACTORIES:
        attributes.replace(stack, module, name, factory)
    return stack
