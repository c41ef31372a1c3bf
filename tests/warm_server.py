"""A process that has imported torch and forks fork servers for `tests.warm`, which says why."""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import re
import resource
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from typing import Any
from typing import NoReturn

from stress.isolate import fork_server_main
from stress.model import system
from tests import warm

HARMLESS = re.compile(
    r"(PYTEST|MPS_STRESS|TESTS)_\w+|PYTHONDONTWRITEBYTECODE|TURNS|COLUMNS|LINES|TERM"
    r"|GITHUB_\w+|NO_COLOR|PY_COLORS|FORCE_COLOR|HOME|USERPROFILE|PWD|OLDPWD|SHLVL|_"
)
"""Variables that importing torch and the children's modules does not read; `_become` sees to the second of these."""


class Server:
    """The loop: one request, one answer. Single-threaded, so that forking is safe."""

    def __init__(self, listener: socket.socket, given: Mapping[str, str]) -> None:
        self._listener = listener
        self._set_by_imports = {name: value for name, value in os.environ.items() if given.get(name) != value}
        self._env, self._limits = self._telling(given), warm.limits()
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)

    def _telling(self, env: Mapping[str, str]) -> dict[str, str]:
        """Leave out what makes no difference, also what an import of torch has set where the tests run."""
        told = env.items() - self._set_by_imports.items()
        return {name: value for name, value in told if not HARMLESS.fullmatch(name)}

    def serve(self) -> None:
        """Answer until this process is killed, as it is when the tests end."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    connection, _ = self._listener.accept()
                    with connection, contextlib.suppress(OSError):  # the one who asked was killed meanwhile
                        self._answer(connection)
                else:
                    key.data()

    def _answer(self, connection: socket.socket) -> None:
        data, descriptors, _, _ = socket.recv_fds(connection, warm.MESSAGE_BYTES_MAX, 2)
        request = json.loads(data or '{"op": "none"}')
        if request["op"] == "cpu":
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            connection.send(json.dumps({"cpu_s": used.ru_utime + used.ru_stime}).encode())
        if request["op"] != "fork":
            return
        try:
            if self._telling(request["env"]) != self._env or request["limits"] != self._limits:
                connection.send(json.dumps({"refused": True}).encode())
            else:
                self._fork(connection, request, descriptors)
        finally:
            for one in descriptors:
                os.close(one)

    def _fork(self, connection: socket.socket, request: dict[str, Any], descriptors: list[int]) -> None:
        packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        asker = os.pidfd_open(int.from_bytes(packed[:4], sys.byteorder))
        ours = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(ours, request, descriptors, unwanted=(connection.fileno(), asker))
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)
        server = os.pidfd_open(pid)
        watched = {asker, server}

        def forget(one: int) -> None:
            watched.remove(one)
            self._selector.unregister(one)
            os.close(one)

        def kill() -> None:
            """Do what its death signal does to a server that is a child of the process that asked."""
            if asker in watched:
                forget(asker)
                signal.pidfd_send_signal(server, signal.SIGTERM)

        def reap() -> None:
            os.waitpid(pid, 0)
            for one in tuple(watched):
                forget(one)

        self._selector.register(asker, selectors.EVENT_READ, kill)
        self._selector.register(server, selectors.EVENT_READ, reap)
        socket.send_fds(connection, [json.dumps({"pid": pid}).encode()], [server])

    def _become(
        self, parent: int, request: dict[str, Any], descriptors: list[int], unwanted: tuple[int, ...]
    ) -> NoReturn:
        """Be the fork server's program, as if it had been started by its command line."""
        try:
            os.setpgid(0, 0)
            for descriptor in [*unwanted, *(one.fd for one in self._selector.get_map().values())]:
                os.close(descriptor)
            self._selector.close()
            connection, log = descriptors
            for standard in (1, 2):
                os.dup2(log, standard)
            os.close(log)
            os.chdir(request["cwd"])
            os.environ.clear()
            os.environ.update(request["env"] | self._set_by_imports)
            sys.dont_write_bytecode = bool(request["env"].get("PYTHONDONTWRITEBYTECODE"))
            sys.argv = ["-c", str(connection), str(parent), *request["arguments"]]
            for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
                del sys.modules[name]
            fork_server_main.main()
        except BaseException:
            traceback.print_exc()
        os._exit(1)


def main() -> None:
    system.die_with_parent(int(sys.argv[2]))
    listener = socket.socket(fileno=int(sys.argv[1]))
    given = dict(os.environ)
    for name in fork_server_main.PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    Server(listener, given).serve()
