"""Fork servers for tests without the start of an interpreter: each takes 2.9 CPU seconds to import torch.

What is tested is `stress.isolate.fork_server_main`, which imports torch, loads the device and forks a child per attempt. Here
that very program runs in a process forked from `tests.warm_server`, which has imported torch and nothing of a user's, as the
program itself would have by then: one per process of tests instead of one per run of pytest. Children, sockets, files, the
environment and the group of processes are what they are without it. Only the parent of the server is another process, which
ends it when the one that asked for it is gone.

`command("pytest", ...)` is the command line of a process that gets its fork servers so; this file is its main program and
does what `python -m` does. A server whose environment, limits or interpreter differ from the warm one's is started as ever:
torch reads many variables while it is imported. Tests of how servers start and die ask for `sys.executable` themselves.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import runpy
import select
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SERVER_PROGRAM = "stress.isolate.fork_server_main"
MESSAGE_BYTES_MAX = 200_000
own_popen = subprocess.Popen
_GIVEN = dict(os.environ)
"""The environment before any test has changed it."""


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module as `python -m` does, with fork servers from the warm one."""
    if sys.platform != "linux":
        return [sys.executable, "-m", module, *arguments]
    return [sys.executable, str(Path(__file__).resolve()), _start(), module, *arguments]


@functools.cache
def _start() -> str:
    """Start this process's warm server, without waiting for it; it ends with this process."""
    from stress.isolate.backend import (
        interpreter,  # not above: in a run of pytest the plugin is imported by pytest
    )

    name = f"mps-stress-tests-{uuid.uuid4().hex}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"\0{name}")  # no file: a path of more than 107 bytes is too long for a socket
    listener.listen(64)
    with listener:
        process = own_popen(
            [*interpreter("tests.warm_server"), str(listener.fileno()), str(os.getpid())],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env=_GIVEN,
            process_group=0,
        )
    _started.append(process)
    return name


_started: list[subprocess.Popen[bytes]] = []
_given_name = ""
"""The name of the warm server's socket, in a process of `command`."""


def cpu_s() -> float:
    """Return the CPU seconds of the servers and their children so far that have ended: they are not our children."""
    if not _started:
        return 0.0
    with _connect(_start()) as connection:
        connection.send(json.dumps({"op": "cpu"}).encode())
        return float(json.loads(connection.recv(MESSAGE_BYTES_MAX))["cpu_s"])


def limits() -> list[list[int]]:
    """Return what a process inherits and the warm server would not have."""
    names = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))
    return [
        sorted(os.sched_getaffinity(0)),
        *(list(resource.getrlimit(getattr(resource, name))) for name in names),
    ]


class Popen(own_popen):  # type: ignore[type-arg]
    """`subprocess.Popen` that gets fork servers from the warm server, where that makes no difference to them."""

    def __new__(cls, args: Any = (), *rest: Any, **named: Any) -> Any:
        is_server = (
            isinstance(args, list) and args[:2] == [sys.executable, "-P"] and SERVER_PROGRAM in str(args[3])
        )
        # Not one for an item's environment, which is to start with it.
        if is_server and named["env"] == dict(os.environ):
            borrowed = borrow(args[4:], named["pass_fds"], named["stdout"].fileno())
            if borrowed is not None:
                return borrowed
        return super().__new__(cls)


def borrow(arguments: Sequence[str], descriptors: Sequence[int], log: int) -> Borrowed | None:
    """Return a fork server of the warm one, or None where that has another environment."""
    connection_number, _, *rest = arguments
    assert list(descriptors) == [int(connection_number)]
    request = {
        "op": "fork",
        "arguments": rest,
        "env": dict(os.environ),
        "cwd": os.getcwd(),
        "limits": limits(),
    }
    with _connect(_given_name or _start()) as connection:
        socket.send_fds(connection, [json.dumps(request).encode()], [*descriptors, log])
        answer, fds, _, _ = socket.recv_fds(connection, MESSAGE_BYTES_MAX, 1)
    return Borrowed(json.loads(answer)["pid"], fds[0]) if fds else None


def _connect(name: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MESSAGE_BYTES_MAX)
    connection.connect(f"\0{name}")
    return connection


class Borrowed:
    """As much of `subprocess.Popen` as a fork server needs: the process is no child of this one."""

    def __init__(self, pid: int, descriptor: int) -> None:
        self.pid, self._descriptor = pid, descriptor
        self.returncode: int | None = None

    def __del__(self) -> None:
        os.close(self._descriptor)

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            ended, _, _ = select.select([self._descriptor], [], [], timeout)
            if not ended:
                raise subprocess.TimeoutExpired(f"fork server {self.pid}", timeout or 0.0)
            self.returncode = 0  # not known here, and not asked
        return self.returncode

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)


def main() -> None:
    global _given_name
    _given_name, sys.argv = sys.argv[1], sys.argv[2:]
    subprocess.Popen = Popen  # type: ignore[misc]
    sys.path[0] = os.getcwd()  # as with -m, instead of this file's folder
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
