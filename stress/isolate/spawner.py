"""Children in fresh interpreters, each under a guardian; spares wait with torch imported."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import psutil

from stress.isolate.backend import Exit
from stress.isolate.backend import IsolationError
from stress.isolate.backend import interpreter
from stress.isolate.child_process import ChildProcess
from stress.model import system
from stress.model.spec import ChildSpec

_KILL_WAIT_S = 20.0
_CORES_EACH, _BYTES_EACH, _SPARES_MAX = 4, 2 << 30, 4
"""What a spare takes while it imports torch: more than it uses, so that the running attempt has what it needs."""


class Spawner:
    """Children in fresh interpreters; spares with torch imported serve items without an environment.

    `env` is added to this process's environment for every child.

    Each child shares its process group with a guardian, a shell that reads a pipe whose other end only
    this process has: when this process dies, the guardian kills the group, also a child stuck in native
    code with the GIL held, and also what the child started. While the guardian lives, the group's number
    cannot be given to anybody else.
    """

    def __init__(
        self, device_library: str = "", python: str = sys.executable, env: Mapping[str, str] | None = None
    ) -> None:
        self._device_library, self._python = device_library, python
        self._env = dict(env or {})
        self._spares: deque[ChildProcess] = deque()

    def warm_up(self, spares: int = 0) -> None:
        """Start as many spares as are missing, without waiting for them: by default as many as disturb nobody."""
        for one in [one for one in self._spares if one.ended() is not None]:
            self._spares.remove(one)
            one.close()
        while len(self._spares) < (spares or spares_wanted()):
            self._spares.append(self._spare())

    def start(self) -> ChildProcess:
        """Return a child, which may still be importing torch."""
        self.warm_up(1)
        child = self._spares.popleft()
        # Not after the attempt: where each needs a fresh process, all would wait for the only one that imports torch,
        # and a core would have nothing to do.
        self.warm_up()
        return child

    def program(self, spec: ChildSpec) -> ChildProcess:
        """Start an interpreter for one attempt: with its environment, which torch reads while it is imported."""
        env = {**os.environ, **spec.env, **self._env}
        stderr = spec.file("stderr")
        return ChildProcess(
            _SpawnedChild([str(spec.dump())], env, stderr, cwd=spec.cwd, python=self._python), None
        )

    def _spare(self) -> ChildProcess:
        descriptor, name = tempfile.mkstemp(prefix="mps-stress-spawn-", suffix=".log")
        os.close(descriptor)
        ours, theirs = socket.socketpair()
        arguments, env = ["--spare", self._device_library], {**os.environ, **self._env}
        try:
            with theirs:
                child = _SpawnedChild(arguments, env, Path(name), stdin=theirs.fileno(), python=self._python)
        except BaseException:
            ours.close()
            os.unlink(name)
            raise
        return ChildProcess(child, ours, Path(name))

    def close(self) -> None:
        while self._spares:
            self._spares.pop().close()


def spares_wanted() -> int:
    """Return how many spares the machine starts beside a running attempt: one on two cores, and in each of many workers."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    room = min(system.usable_cores() // _CORES_EACH, psutil.virtual_memory().available // _BYTES_EACH)
    return max(1, min(_SPARES_MAX, room // workers))


class _SpawnedChild:
    def __init__(
        self,
        arguments: list[str],
        env: Mapping[str, str],
        output: Path,
        *,
        stdin: int = subprocess.DEVNULL,
        cwd: str = "",
        python: str = sys.executable,
    ) -> None:
        # Not a death signal: that one ends the child and not what the child started, and macOS has none. Not our own
        # exit handlers: SIGKILL runs none. A pipe's end of file comes however we die, as long as nobody else holds its
        # other end: Popen closes it in all other children (close_fds).
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", "read -r line || kill -9 0"], stdin=subprocess.PIPE, process_group=0
        )
        with output.open("ab") as file:
            try:
                self._process = subprocess.Popen(
                    [*interpreter("stress.isolate.spawned_main", python), *arguments, str(os.getpid())],
                    stdin=stdin,
                    stdout=file,
                    stderr=file,
                    env=env,
                    cwd=cwd or None,
                    process_group=self._guardian.pid,
                )
            except OSError as error:
                self._guardian.kill()
                raise IsolationError(f"cannot start {python}: {error}") from error
        self.pid = self._process.pid
        self._exit: Exit | None = None

    def wait(self, timeout_s: float) -> Exit | None:
        deadline = time.monotonic() + timeout_s
        pause_s = 0.001
        while self._exit is None:
            # Not Popen.wait, which does not say what the child used. wait4 has no time limit, hence the pauses; and
            # Popen is given the status, so that it never waits for a pid that may be somebody else's by then.
            ended = system.wait(self.pid)
            if ended is not None:
                _, code, used = ended
                self._process.returncode = code
                self._exit = Exit(code, used.cpu_s, used.peak_rss_bytes)
            elif time.monotonic() >= deadline:
                return None
            else:
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.02)
        return self._exit

    def signal(self, number: int) -> None:
        if self._exit is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._guardian.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill_group()
        self.wait(_KILL_WAIT_S)
        self._guardian.wait()
        if self._guardian.stdin is not None:
            with contextlib.suppress(OSError):
                self._guardian.stdin.close()
