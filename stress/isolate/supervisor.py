"""The supervisor: watch one child from the parent, from its start to everything it leaves behind.

The parent owns the deadline. At it, in this order: Python stacks of all threads (SIGUSR1, also with the GIL
held), native stacks where the platform has a tool, the black box, then SIGKILL for the process group.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from stress.isolate.backend import Backend
from stress.isolate.backend import Child
from stress.isolate.backend import Exit
from stress.isolate.backend import IsolationError
from stress.isolate.backend import can_fork
from stress.isolate.fork_server import ForkServer
from stress.isolate.spawner import Spawner
from stress.isolate.stall import POLL_S
from stress.isolate.stall import StallWatch
from stress.model import blackbox
from stress.model.spec import ChildSpec
from stress.sanitizer.python.children import Children
from stress.sanitizer.python.children import TsanResult

STDERR_BYTES_MAX = 200_000
_STACKS_WAIT_S = 3.0
_NATIVE_STACKS_S_MAX = 30.0
_KILL_WAIT_S = 20.0


@dataclass
class ChildRun:
    """All that is known after a child's end. ``result`` is None when it wrote none."""

    spec: ChildSpec
    result: dict[str, Any] | None
    exit: Exit | None
    hung: bool
    seconds: float
    started: float
    pid: int
    stderr: str = ""
    stdout: str = ""
    stacks: str = ""
    native_stacks: str = ""
    snapshot: blackbox.Snapshot | None = None
    hang_cpu_s: float | None = None
    threads: int | None = None
    stalled: bool = False
    """No deadline was reached: every thread was asleep for `spec.stall_s`."""
    tsan: TsanResult | None = None
    """ThreadSanitizer's reports, of a child that ran under it."""
    lost: str = ""
    """Why nothing is known about the child's end: the server that had started it was lost."""


class Supervisor:
    """Starts children and waits for them. One at a time: attempts must not disturb each other.

    They run in this interpreter, or in another one, `python`, which imports from its own environment and takes only
    this package from here. With `tsan` they run under ThreadSanitizer, whose preloaded runtime needs separate processes.
    """

    def __init__(
        self,
        device_library: str = "",
        python: str = sys.executable,
        tsan: Children | None = None,
        preload: Sequence[str] = (),
    ) -> None:
        # A forked child would have the server's runtime, which does not know where this child's reports go.
        self._forks = can_fork() and tsan is None
        self._tsan = tsan
        self._is_foreign = python != sys.executable
        self._server = ForkServer(device_library, python, preload)
        self._spawner = Spawner(device_library, python, tsan.env() if tsan is not None else {})

    def warm_up(self) -> None:
        """Start what takes long to start, without waiting for it."""
        (self._server if self._forks else self._spawner).warm_up()

    def run(self, spec: ChildSpec, workers: int) -> ChildRun:
        """Run one child to its end or deadline; `workers` is the number of slots of its black box."""
        if self._is_foreign:
            spec = replace(spec, sys_path=())
        blackbox.BlackBox.create(spec.file("blackbox"), workers)
        fork = self._forks and not spec.env and spec.kind != "process"
        backend: Backend = self._server if fork else self._spawner
        started, clock = time.time(), time.monotonic()
        child = backend.start(spec)
        run = ChildRun(spec, None, None, False, 0.0, started, child.pid)
        try:
            run.exit = self._wait(child, run)
            run.hung = run.exit is None
            if run.hung:
                self._examine_hang(child, run)
                child.kill_group()
                run.exit = child.wait(_KILL_WAIT_S)
        except IsolationError as error:
            run.lost = str(error)
        finally:
            child.kill_group()
            child.close()
        run.seconds = time.monotonic() - clock
        self._collect(run)
        if not self._forks:
            self._spawner.warm_up()
        return run

    def _wait(self, child: Child, run: ChildRun) -> Exit | None:
        """Return the exit, or None at the deadline, or earlier if nothing in the child moves any more."""
        spec = run.spec
        if not spec.stall_s or not StallWatch.works():
            return child.wait(spec.deadline_s)
        watch = StallWatch(child.pid, spec.file("blackbox"), spec.stall_s)
        deadline = time.monotonic() + spec.deadline_s
        while (left_s := deadline - time.monotonic()) > 0:
            ended = child.wait(min(POLL_S, left_s))
            if ended is not None:
                return ended
            if watch.is_stalled():
                run.stalled = True
                return None
        return None

    def _examine_hang(self, child: Child, run: ChildRun) -> None:
        try:
            process = psutil.Process(child.pid)
            times = process.cpu_times()
            run.hang_cpu_s = times.user + times.system
            run.threads = process.num_threads()
        except psutil.Error:
            pass
        child.signal(signal.SIGUSR1)
        _wait_for_text(run.spec.file("stacks"))
        run.native_stacks = native_stacks(child.pid, run.spec.file("native"))

    def _collect(self, run: ChildRun) -> None:
        spec = run.spec
        if self._tsan is not None:
            run.tsan = self._tsan.collect(run.pid, spec.file("stderr"), spec.file("tsan"))
        run.stderr = read_bounded(spec.file("stderr"))
        run.stdout = read_bounded(spec.file("stdout"))
        run.stacks = read_bounded(spec.file("stacks"))
        try:
            run.snapshot = blackbox.read(spec.file("blackbox"))
        except (OSError, ValueError):
            run.snapshot = None
        try:
            run.result = json.loads(spec.file("result.json").read_text())
        except (OSError, ValueError):
            run.result = None

    def close(self) -> None:
        self._server.close()
        self._spawner.close()
        if self._tsan is not None:
            self._tsan.close()


def read_bounded(path: Path, limit: int = STDERR_BYTES_MAX) -> str:
    """Return the text of a file, or its first and last parts with a mark between; "" where there is none."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size <= limit:
                return file.read().decode(errors="replace")
            head = file.read(limit // 2)
            file.seek(-(limit // 2), 2)
            tail = file.read()
    except OSError:
        return ""
    return f"{head.decode(errors='replace')}\n[... {size - limit} bytes left out ...]\n{tail.decode(errors='replace')}"


def _wait_for_text(path: Path) -> None:
    """Wait until the stack dump is there and has stopped growing."""
    deadline = time.monotonic() + _STACKS_WAIT_S
    size = -1
    while time.monotonic() < deadline:
        now = path.stat().st_size if path.exists() else 0
        if now and now == size:
            return
        size = now
        time.sleep(0.05)


def native_stacks(pid: int, into: Path) -> str:
    """Return native stacks of all threads where the platform has a tool (`sample`, `eu-stack`); else ""."""
    commands = {
        "darwin": ["sample", str(pid), "1", "-mayDie"],
        "linux": ["eu-stack", "-p", str(pid)],
    }
    command = commands.get(sys.platform)
    if command is None or shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_NATIVE_STACKS_S_MAX, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = done.stdout.decode(errors="replace")
    if text.strip():
        into.write_text(text)
    return text
