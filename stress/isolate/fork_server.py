"""The parent's side of the fork server: ask for children, collect how they end."""

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
from typing import IO

from stress.isolate.backend import Exit
from stress.isolate.backend import IsolationError
from stress.isolate.backend import interpreter
from stress.isolate.child_process import ChildProcess
from stress.model.spec import ChildSpec

SERVER_START_S_MAX = 120.0


class ForkServer:
    """Children forked from a server process that is started once, with the device's library loaded if it has one."""

    def __init__(
        self,
        device_library: str = "",
        python: str = sys.executable,
        preload: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Make a server that has the modules `preload` imported, too: slow ones, which run no op while they load.

        It has `env` beside this process's environment, and has it while it imports torch.
        """
        self._device_library, self._python, self._preload = device_library, python, tuple(preload)
        self._env = dict(env or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._log: IO[bytes] | None = None
        self._buffer = b""
        self._ready = False
        self._next_id = 0
        self.exits: dict[int, Exit] = {}
        self.pids: dict[int, int] = {}
        self._is_nested = False

    def nested(self, spec: ChildSpec) -> ForkServer:
        """Return a server that this one forks, and whose children have the test file of `spec` collected.

        Wait until it has; raise `IsolationError` where it cannot fork any more by then, or the file ends it.
        """
        self._wait_until_ready()
        server = ForkServer()
        server._is_nested = True
        ours, theirs = socket.socketpair()
        server._socket = ours
        self._next_id += 1
        try:
            with theirs:
                self._send({"op": "nest", "id": self._next_id, "spec": str(spec.dump())}, theirs)
            server._wait_until_ready(spec.deadline_s)
        except BaseException:
            self.send_signal(self._next_id, signal.SIGKILL, group=True)
            server.close()
            raise
        return server

    def warm_up(self) -> None:
        """Start the server without waiting for it: importing torch takes about two seconds."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._is_nested:
            if self._socket is None:
                raise IsolationError("the server of a test file is gone")
            return
        self.close()
        ours, theirs = socket.socketpair()
        self._socket, self._ready, self._buffer = ours, False, b""
        self._log = tempfile.TemporaryFile(prefix="mps-stress-server-")  # noqa: SIM115
        with theirs:
            self._process = subprocess.Popen(
                [
                    *interpreter("stress.isolate.fork_server_main", self._python),
                    str(theirs.fileno()),
                    str(os.getpid()),
                    self._device_library,
                    *self._preload,
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self._env},
                # A file and not a pipe: nobody reads while we wait for answers, and a full pipe would stop the server.
                stdout=self._log,
                stderr=self._log,
                process_group=0,  # Ctrl-C goes to pytest alone, which ends the server in its turn
            )

    def start(self) -> ChildProcess:
        """Fork a child; raise `IsolationError` when the server cannot run."""
        self._wait_until_ready()
        deadline = time.monotonic() + SERVER_START_S_MAX
        self._next_id += 1
        number = self._next_id
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._send({"op": "start", "id": number}, theirs)
            while number not in self.pids:
                self.receive(deadline - time.monotonic())
                if time.monotonic() > deadline:
                    raise self._lost(f"the fork server did not answer for {SERVER_START_S_MAX:.0f} s")
        except BaseException:
            ours.close()
            raise
        return ChildProcess(_ForkedChild(self, number, self.pids[number]), ours)

    def _wait_until_ready(self, seconds_max: float = SERVER_START_S_MAX) -> None:
        self.warm_up()
        deadline = time.monotonic() + seconds_max
        while not self._ready:
            self.receive(deadline - time.monotonic())
            if time.monotonic() > deadline:
                raise self._lost(f"the fork server did not start in {seconds_max:.0f} s")

    def send_signal(self, number: int, signal_number: int, *, group: bool) -> None:
        """Let the server send it: only the process that reaps a child knows that its pid was not reused."""
        if self._socket is None:
            return  # a lost server's children are gone already
        with contextlib.suppress(IsolationError):  # the next wait or start shows it
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
        # One socket serves all children, so that an answer may be about another child than the one waited for, or a
        # part of a line: what is whole is filed by its number, and whoever waits looks there.
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "ready" in message:
                self._ready = True
            elif "pid" in message:
                self.pids[message["id"]] = message["pid"]
            else:
                self.exits[message["id"]] = Exit(message["exit"], message["cpu_s"], message["peak_rss_bytes"])

    def _send(self, message: Mapping[str, object], *connections: socket.socket) -> None:
        assert self._socket is not None
        line = json.dumps(message).encode() + b"\n"
        try:
            if connections:
                socket.send_fds(self._socket, [line], [one.fileno() for one in connections])
            else:
                self._socket.sendall(line)
        except OSError as error:
            raise self._lost(f"lost the fork server ({error})") from error

    def _lost(self, what: str) -> IsolationError:
        """Clean up after a server that died, so that the next child gets a new one.

        Its children die with it, by their death signal, but processes that they started do not.
        """
        for number, pid in self.pids.items():
            if number not in self.exits:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
        error = IsolationError(f"{what}: {self._log_text()}")
        self.close()
        return error

    def _log_text(self) -> str:
        text = ""
        if self._log is not None:
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
        if self._log is not None:
            self._log.close()
            self._log = None


class _ForkedChild:
    def __init__(self, server: ForkServer, number: int, pid: int) -> None:
        self._server, self._number, self.pid = server, number, pid

    def wait(self, timeout_s: float) -> Exit | None:
        deadline = time.monotonic() + timeout_s
        left_s = timeout_s
        while self._number not in self._server.exits:
            self._server.receive(left_s)
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
        return self._server.exits.get(self._number)

    def signal(self, number: int) -> None:
        self._server.send_signal(self._number, number, group=False)

    def kill_group(self) -> None:
        self._server.send_signal(self._number, signal.SIGKILL, group=True)

    def close(self) -> None:
        self._server.pids.pop(self._number, None)
        self._server.exits.pop(self._number, None)
