"""Processes for the tests of one file: forked, as far as that is possible, from one that has collected it."""

from __future__ import annotations

import tempfile
from dataclasses import replace

from stress.isolate.backend import IsolationError
from stress.isolate.child_process import ChildProcess
from stress.isolate.fork_server import ForkServer
from stress.model.spec import ChildSpec


class HostedServer:
    """Importing a test file may take as long as a hundred of its tests, and each failure costs a process.

    So the file is collected once, by a process that runs no test and forks those that do. Where it cannot (it ends while it
    imports the file, or has several threads afterwards), each process collects the file itself, and says what is wrong.
    """

    def __init__(self, server: ForkServer, spec: ChildSpec) -> None:
        """`server` has torch imported; `spec` is that of any test of the file."""
        self._plain = server
        self._folder = tempfile.TemporaryDirectory(prefix="mps-stress-file-", ignore_cleanup_errors=True)
        asked = replace(spec, kind="probe", folder=self._folder.name, name="collect")
        self._collected: ForkServer | None = None
        self.problem = ""
        """Why each process collects the file itself; empty where it is collected already."""
        try:
            self._collected = server.nested(asked)
        except IsolationError as error:
            said = asked.file("stderr").read_text(errors="replace") if asked.file("stderr").exists() else ""
            self.problem = (said.strip().splitlines() or [str(error)])[-1]

    def start(self) -> ChildProcess:
        """Return a process; raise `IsolationError` where none can be started."""
        if self._collected is not None:
            try:
                return self._collected.start()
            except IsolationError:  # it is gone
                self.close()
        return self._plain.start()

    def close(self) -> None:
        if self._collected is not None:
            self._collected.close()
            self._collected = None
        self._folder.cleanup()
