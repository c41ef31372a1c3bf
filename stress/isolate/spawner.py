"""Children in fresh interpreters, each under a guardian; a spare waits with torch imported."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from stress.isolate.backend import Child
from stress.isolate.backend import Exit
from stress.isolate.backend import IsolationError
from stress.isolate.backend import interpreter
from stress.model.spec import ChildSpec

_KILL_WAIT_S = 20.0


class Spawner:
    """Children in fresh interpreters; a spare with torch imported serves items without an environment.

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
        self._spare: _SpawnedChild | None = None
        self._log = tempfile.NamedTemporaryFile(prefix="mps-stress-spawn-", suffix=".log")  # noqa: SIM115

    def warm_up(self) -> None:
        """Start a spare, if there is none, without waiting for it."""
        if self._spare is None or self._spare.wait(0) is not None:
            self._drop_spare()
            os.truncate(self._log.name, 0)  # the spare before this one writes to its attempt's file by now
            self._spare = _SpawnedChild(
                ["--spare", self._device_library],
                {**os.environ, **self._env},
                self._log.name,
                python=self._python,
            )

    def start(self, spec: ChildSpec) -> Child:
        path = spec.dump()
        # A spare started with this process's variables, and torch, which it has imported, reads some of them only once.
        # A process scenario is about a process from its start.
        if spec.env or spec.kind == "process":
            env = {**os.environ, **spec.env, **self._env}
            return _SpawnedChild(
                [str(path)], env, str(spec.file("stderr")), cwd=spec.cwd, python=self._python
            )
        self.warm_up()
        child, self._spare = self._spare, None
        assert child is not None
        child.hand_over(path, spec.file("stderr"))
        return child

    def _drop_spare(self) -> None:
        if self._spare is not None:
            self._spare.close()
            self._spare = None

    def close(self) -> None:
        self._drop_spare()
        self._log.close()


class _SpawnedChild:
    def __init__(
        self,
        arguments: list[str],
        env: Mapping[str, str],
        stderr: str,
        *,
        cwd: str = "",
        python: str = sys.executable,
    ) -> None:
        # Not a death signal: that one ends the child and not what the child started, and macOS has none. Not our own
        # exit handlers: SIGKILL runs none. A pipe's end of file comes however we die, as long as nobody else holds its
        # other end: Popen closes it in all other children (close_fds).
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", "read -r line || kill -9 0"], stdin=subprocess.PIPE, process_group=0
        )
        with open(stderr, "ab") as errors:
            try:
                self._process = subprocess.Popen(
                    [*interpreter("stress.isolate.spawned_main", python), *arguments, str(os.getpid())],
                    stdin=subprocess.PIPE,
                    stdout=errors,
                    stderr=errors,
                    env=env,
                    cwd=cwd or None,
                    process_group=self._guardian.pid,
                )
            except OSError as error:
                self._guardian.kill()
                raise IsolationError(f"cannot start {python}: {error}") from error
        self.pid = self._process.pid
        self._log, self._stderr = Path(stderr), Path(stderr)
        self._exit: Exit | None = None

    def hand_over(self, spec_path: Path, stderr: Path) -> None:
        """Give a spare its work; if it died before, its output goes to `stderr` at the end."""
        self._stderr = stderr
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(str(spec_path).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # the spare died; its exit says how
            pass

    def wait(self, timeout_s: float) -> Exit | None:
        deadline = time.monotonic() + timeout_s
        pause_s = 0.001
        while self._exit is None:
            # Not Popen.wait, which does not say what the child used. wait4 has no time limit, hence the pauses; and
            # Popen is given the status, so that it never waits for a pid that may be somebody else's by then.
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                self._process.returncode = code
                scale = 1 if sys.platform == "darwin" else 1024
                self._exit = Exit(code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale)
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
        if not self._stderr.exists():
            self._stderr.write_bytes(self._log.read_bytes())
        for pipe in (self._guardian.stdin, self._process.stdin):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
