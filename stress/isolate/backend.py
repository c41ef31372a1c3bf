"""Two ways to start a child: forked from the server, or spawned under a guardian. Parent side."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stress.model.spec import ChildSpec

PACKAGE_ROOT = Path(__file__).resolve().parent.parent.parent
SERVER_START_S_MAX = 120.0
_KILL_WAIT_S = 20.0


class IsolationError(Exception):
    """A child process could not be started; the text says why and what to do."""


@dataclass(frozen=True)
class Exit:
    """How a child ended: ``code`` as in subprocess (negative: minus the signal)."""

    code: int
    cpu_s: float
    peak_rss_bytes: int


class Child(Protocol):
    """A running child."""

    pid: int

    def wait(self, timeout_s: float) -> Exit | None:
        """Return the exit, or None when it still runs after `timeout_s`."""
        ...

    def signal(self, number: int) -> None: ...
    def kill_group(self) -> None: ...
    def close(self) -> None:
        """Release what belongs to the child, stragglers of its process group included."""
        ...


class Backend(Protocol):
    """Starts children."""

    def warm_up(self) -> None: ...
    def start(self, spec: ChildSpec) -> Child: ...
    def close(self) -> None: ...


def interpreter(module: str, python: str = sys.executable) -> list[str]:
    """Return the command that runs `module`'s main() without putting the user's folder on the path."""
    code = f"import sys; sys.path.insert(0, {str(PACKAGE_ROOT)!r}); from {module} import main; main()"
    return [python, "-P", "-c", code]


class ForkServer:
    """Children forked from a server process that is started once, with the simulated device loaded if there is one."""

    def __init__(
        self, sim_library: str = "", python: str = sys.executable, preload: Sequence[str] = ()
    ) -> None:
        """Make a server that has the modules `preload` imported, too: slow ones, which run no op while they load."""
        self._sim_library, self._python, self._preload = sim_library, python, tuple(preload)
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._log = tempfile.TemporaryFile(prefix="mps-stress-server-")  # noqa: SIM115
        self._buffer = b""
        self._ready = False
        self._next_id = 0
        self.exits: dict[int, Exit] = {}
        self.pids: dict[int, int] = {}

    def warm_up(self) -> None:
        """Start the server without waiting for it: importing torch takes about two seconds."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        ours, theirs = socket.socketpair()
        self._socket, self._ready, self._buffer = ours, False, b""
        with theirs:
            self._process = subprocess.Popen(
                [
                    *interpreter("stress.isolate.server", self._python),
                    str(theirs.fileno()),
                    str(os.getpid()),
                    self._sim_library,
                    *self._preload,
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                process_group=0,  # Ctrl-C goes to pytest alone, which ends the server in its turn
            )

    def start(self, spec: ChildSpec) -> Child:
        """Fork a child for `spec`; raise `IsolationError` when the server cannot run."""
        self.warm_up()
        deadline = time.monotonic() + SERVER_START_S_MAX
        while not self._ready:
            self.receive(deadline - time.monotonic())
            if time.monotonic() > deadline:
                raise self._lost(f"the fork server did not start in {SERVER_START_S_MAX:.0f} s")
        self._next_id += 1
        number = self._next_id
        self._send({"op": "start", "id": number, "spec": str(spec.dump())})
        while number not in self.pids:
            self.receive(deadline - time.monotonic())
            if time.monotonic() > deadline:
                raise self._lost(f"the fork server did not answer for {SERVER_START_S_MAX:.0f} s")
        return _ForkedChild(self, number, self.pids[number])

    def send_signal(self, number: int, signal_number: int, *, group: bool) -> None:
        """Let the server send it: only the process that reaps a child knows that its pid is still its own."""
        if self._socket is None:
            return  # a lost server's children are gone already
        with contextlib.suppress(IsolationError):  # the next wait or start tells
            self._send({"op": "signal", "id": number, "signal": signal_number, "group": group})

    def receive(self, timeout_s: float) -> None:
        """Take in what the server says within `timeout_s`."""
        if self._socket is None:
            raise IsolationError("the fork server is gone")
        self._socket.settimeout(max(0.001, timeout_s))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return
        except OSError as error:
            raise self._lost(f"lost the fork server ({error})") from error
        if not data:
            raise self._lost("the fork server ended")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "ready" in message:
                self._ready = True
            elif "pid" in message:
                self.pids[message["id"]] = message["pid"]
            else:
                self.exits[message["id"]] = Exit(message["exit"], message["cpu_s"], message["peak_rss_bytes"])

    def _send(self, message: Mapping[str, object]) -> None:
        assert self._socket is not None
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise self._lost(f"lost the fork server ({error})") from error

    def _lost(self, what: str) -> IsolationError:
        """Clean up after a server that died, so that the next child gets a new one.

        Its children die with it, by their death signal, but what they started does not.
        """
        for number, pid in self.pids.items():
            if number not in self.exits:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
        error = IsolationError(f"{what}: {self._log_text()}")
        self.close()
        return error

    def _log_text(self) -> str:
        self._log.seek(0)
        text = self._log.read()[-4000:].decode(errors="replace").strip()
        return text or "it left no message (was it killed?)"

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()  # the server sees the end of file, kills its children and ends
            self._socket = None
        if self._process is not None:
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


class _ForkedChild:
    def __init__(self, server: ForkServer, number: int, pid: int) -> None:
        self._server, self._number, self.pid = server, number, pid

    def wait(self, timeout_s: float) -> Exit | None:
        deadline = time.monotonic() + timeout_s
        while self._number not in self._server.exits:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._server.receive(left)
        return self._server.exits[self._number]

    def signal(self, number: int) -> None:
        self._server.send_signal(self._number, number, group=False)

    def kill_group(self) -> None:
        self._server.send_signal(self._number, signal.SIGKILL, group=True)

    def close(self) -> None:
        self._server.pids.pop(self._number, None)
        self._server.exits.pop(self._number, None)


class Spawner:
    """Children in fresh interpreters; a spare with torch imported serves items without an environment.

    `env` is what every child's environment has beside this process's.

    Each child shares its process group with a guardian, a shell that reads a pipe whose other end only
    this process has: when this process dies, the guardian kills the group, also a child stuck in native
    code with the GIL held, and also what the child started. While the guardian lives, the group's number
    cannot be given to anybody else.
    """

    def __init__(
        self, sim_library: str = "", python: str = sys.executable, env: Mapping[str, str] | None = None
    ) -> None:
        self._sim_library, self._python = sim_library, python
        self._env = dict(env or {})
        self._spare: _SpawnedChild | None = None
        self._log = tempfile.NamedTemporaryFile(prefix="mps-stress-spawn-", suffix=".log")  # noqa: SIM115

    def warm_up(self) -> None:
        """Start a spare, if there is none, without waiting for it."""
        if self._spare is None or self._spare.wait(0) is not None:
            self._drop_spare()
            os.truncate(self._log.name, 0)  # the spare before this one writes to its attempt's file by now
            self._spare = _SpawnedChild(
                ["--spare", self._sim_library],
                {**os.environ, **self._env},
                self._log.name,
                python=self._python,
            )

    def start(self, spec: ChildSpec) -> Child:
        path = spec.dump()
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
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", "read -r line || kill -9 0"], stdin=subprocess.PIPE, process_group=0
        )
        with open(stderr, "ab") as errors:
            try:
                self._process = subprocess.Popen(
                    [*interpreter("stress.isolate.main", python), *arguments, str(os.getpid())],
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
        """Give a spare its work; what it wrote when it died before taking it goes to `stderr` at the end."""
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


def can_fork() -> bool:
    """Whether children may be forked: on Linux; after Metal or Objective-C is up a fork is not safe."""
    wanted = os.environ.get("MPS_STRESS_START_METHOD", "")
    if wanted not in ("", "fork", "spawn"):
        raise IsolationError(f"MPS_STRESS_START_METHOD={wanted}: use fork or spawn")
    return sys.platform == "linux" and wanted != "spawn"
