"""The fork server: a process that has imported torch, has never run an op, and forks a child per request.

Ours rather than multiprocessing's: that one re-imports pytest's console script as `__main__` in every
child (66 ms instead of 15), hides failed preloads, and outlives a parent killed with SIGKILL, because
every child inherits the write end of its alive pipe. Forking after an op has run hangs (OpenMP's pool
does not survive a fork), which is why user code is imported in the child only.

Requests and answers are JSON lines on one socket. When the parent is gone (end of file, or SIGTERM by
PR_SET_PDEATHSIG, since a process that inherited the other end can keep the socket open), the server kills
every child's process group and ends; a killed server takes its children along by their own death signal.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from typing import NoReturn

from stress.child import process
from stress.child import serving
from stress.model import system
from stress.model.errors import LibraryError
from stress.model.spec import TESTS
from stress.model.spec import load_spec

_BLAS_THREADS = "OPENBLAS_NUM_THREADS"


class Server:
    """The server's loop. Single-threaded, so that forking is safe."""

    def __init__(
        self,
        connection: socket.socket,
        serve: Callable[[socket.socket], NoReturn] = serving.serve,
    ) -> None:
        """`serve` is the life of each child."""
        self._connection, self._serve = connection, serve
        self._buffer = b""
        self._given: list[int] = []  # the children's ends of their connections, in the order of requests
        self._children: dict[int, int] = {}  # pid -> request id
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        os.set_blocking(self._wake_read, False)

    def serve(self) -> None:
        """Answer requests until the parent is gone."""
        # A SIGCHLD handler alone does not work: `select` goes on after a signal (PEP 475), and a child's end would be
        # noticed at the next request only. The signal's number in a pipe makes `select` return.
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._parent_died)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
        self._send({"ready": True, "pid": os.getpid()})
        selector = selectors.DefaultSelector()
        selector.register(self._connection, selectors.EVENT_READ)
        selector.register(self._wake_read, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is self._connection:
                    data, descriptors, _, _ = socket.recv_fds(self._connection, 65536, 16)
                    if not data:
                        self._parent_died()
                    self._buffer += data
                    self._given += descriptors
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_read, 4096)
            self._reap()
            *lines, self._buffer = self._buffer.split(b"\n")
            for line in lines:
                self._handle(json.loads(line))

    def _handle(self, request: dict[str, Any]) -> None:
        if request["op"] in ("start", "nest"):
            self._fork(request)
        elif request["op"] == "signal":
            for pid, number in list(self._children.items()):
                if number == request["id"]:
                    with contextlib.suppress(ProcessLookupError):
                        (os.killpg if request["group"] else os.kill)(pid, request["signal"])

    def _fork(self, request: dict[str, Any]) -> None:
        parent = os.getpid()
        started = time.time()
        connection = self._given.pop(0)
        pid = os.fork()
        if pid == 0:
            try:
                self._child(parent, connection, request.get("spec"))
            except BaseException as error:
                process.fail(None, error)
        os.close(connection)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # both sides do it, so that neither races the other
        self._children[pid] = request["id"]
        self._send({"id": request["id"], "pid": pid, "started": started})

    def _child(self, parent: int, connection: int, test_file: str | None) -> NoReturn:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        system.die_with_parent(parent)
        # Before the pipe is closed: its number will be that of another file soon, which every signal would write to.
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for descriptor in (self._connection.fileno(), self._wake_read, self._wake_write, *self._given):
            os.close(descriptor)
        os.set_inheritable(connection, False)
        if test_file is not None:
            _serve_test_file(socket.socket(fileno=connection), Path(test_file))
        # It ends the process, without exit handlers and buffered output: they are the server's, and would run once more in
        # every child.
        self._serve(socket.socket(fileno=connection))

    def _reap(self) -> None:
        while True:
            try:
                ended = system.wait(-1)
            except ChildProcessError:
                return
            if ended is None:
                return
            pid, code, used = ended
            request = self._children.pop(pid, None)
            if request is None:
                continue
            # What the child itself started (a fork in a step) is in its group and must not outlive it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            self._send({"id": request, "exit": code, **asdict(used)})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._parent_died()

    def _parent_died(self, *_: object) -> None:
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        os._exit(0)


def _serve_test_file(connection: socket.socket, spec_path: Path) -> NoReturn:
    """Collect a file of ordinary tests, and fork processes that have it collected.

    Only where one thread is left by then: a fork has none of the others, and whoever waits for them waits for ever. And only
    where torch still takes the device for usable in a fork. So a file that uses the device while it is imported is collected
    by each process that runs its tests.
    """
    spec = load_spec(spec_path)
    process.prepare(spec)
    # The threads of a BLAS that scipy loads would be in the way, although they survive a fork.
    before = os.environ.get(_BLAS_THREADS)
    os.environ[_BLAS_THREADS] = "1"
    module = importlib.import_module(TESTS)
    module.collect(spec)
    os.environ.pop(_BLAS_THREADS)
    if before is not None:
        os.environ[_BLAS_THREADS] = before
    faulthandler.cancel_dump_traceback_later()
    from stress.device import preparation

    threads = system.own_thread_count()
    if threads > 1 or preparation.is_lost_by_fork(spec):
        what = f"has {threads} threads" if threads > 1 else "has used the device"
        print(f"the process {what} once the file is imported", file=sys.stderr, flush=True)
        os._exit(0)
    _freeze()
    Server(connection, serve=functools.partial(serving.serve, forked_for=spec)).serve()
    os._exit(0)


PRELOADED = (
    "torch",
    "torch._dynamo",  # 800 modules, one second: the first op under a dispatch mode imports it otherwise
    "torch.nn.functional",
    "torch.utils._python_dispatch",
    "torch.utils._pytree",
    "stress.child.baseline",
    "stress.child.checked_order",
    "stress.child.crew",
    "stress.child.tasks",
    "stress.child.oracle.judge",
    "stress.child.oracle.reference",
    "stress.child.oracle.store",
    "stress.child.perturb.op_mode",
    "stress.device.preparation",
    "stress.device.sim.batch_queue",
    "stress.record.torch_build",
    "stress.scenario.growth",  # and what else authors import of ours
    "stress.scenario.handover",
    "stress.scenario.memory",
    "stress.scenario.sequences",
)


def preload(device_library: str = "", more: Sequence[str] = ()) -> None:
    """Import what children need, and load the device's library; no op may run and no user code be imported."""
    for name in PRELOADED:
        importlib.import_module(name)
    if device_library:
        from stress.device import library

        with contextlib.suppress(LibraryError):  # the children that need it will say so
            library.load(device_library)
    for name in more:  # behind the device: what asks whether there is an MPS fixes the answer for the process
        importlib.import_module(name)
    from stress.child.perturb import dispatch_cache

    dispatch_cache.resolve_all()  # in the server, so that every child inherits it


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    system.die_with_parent(int(sys.argv[2]), signal.SIGTERM)
    preload(sys.argv[3], sys.argv[4:])
    _freeze()
    Server(connection).serve()


def _freeze() -> None:
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the pages shared with children


if __name__ == "__main__":
    main()
