"""A child from the parent's side: a process, the connection on which it is given attempts, and how often it was."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

from stress.child import serving
from stress.isolate.backend import Child
from stress.isolate.backend import Exit
from stress.isolate.backend import IsolationError
from stress.model.spec import ChildSpec

START_S_MAX = 300.0
"""Time that an interpreter gets to import torch; no attempt's deadline runs yet."""
RESTORE_S_MAX = 30.0
"""Time that a process gets to become free; it is not the attempt's, whose result is there."""
_POLL_S = 0.02
_KILL_WAIT_S = 20.0
SENT_BY_OTHERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class ChildProcess:
    """Runs attempts in one process. Whether it stays after one is said with the order; else it is as good as new, once."""

    def __init__(self, child: Child, connection: socket.socket | None, log: Path | None = None) -> None:
        """Without a connection the process was started for one attempt, which it knows. `log` has what it printed so far."""
        self._child, self._connection = child, connection
        self.pid = child.pid
        self.served: list[str] = []
        """Names of the attempts that it has served, or runs."""
        self.is_free = False
        """It can be given another attempt."""
        self.declined = ""
        """Why it, having served others, could not say anything by this attempt; nothing of it was recorded."""
        self.ends = ""
        """Why it serves no other attempt, although it might have."""
        self._log = log
        self._spec: ChildSpec | None = None
        self._stays = self._has_served = False
        self._has_fixtures = False
        """It runs ordinary tests, whose fixtures it tears down when it is told that no order follows."""
        self._answers = b""

    def begin(self, spec: ChildSpec, *, stays: bool) -> None:
        """Give it an attempt and wait until that begins, or cannot.

        Raises `OSError` where the order cannot be written to the disk, `IsolationError` where the process does not begin.
        """
        if spec.kind != "probe":  # which has no record that could be named
            self.served.append(spec.name)
        self.is_free, self._spec, self._stays = False, spec, stays
        self._has_fixtures = spec.test is not None
        if self._connection is None:
            return
        if stays and self._log is None:
            descriptor, name = tempfile.mkstemp(prefix="mps-stress-worker-", suffix=".log")
            os.close(descriptor)
            self._log = Path(name)
        self._take_over_log(spec)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died; its exit says how
            self._connection.sendall(serving.order(spec.dump(), stays=stays, log=self._log))
            self._wait_for_begin()

    def _wait_for_begin(self) -> None:
        deadline = time.monotonic() + START_S_MAX
        while (left_s := deadline - time.monotonic()) > 0:
            answer, exit_ = self._listen(left_s)
            if exit_ is not None or "begun" in answer:  # of an exit the next wait says it again
                return
        raise IsolationError(
            f"process {self.pid} did not begin in {START_S_MAX:.0f} s: is the machine overloaded?"
        )

    def _take_over_log(self, spec: ChildSpec) -> None:
        """Begin the attempt's stderr with what the process printed while it had nothing to do: an error that came late."""
        if self._log is not None and self._has_served and (late := self._log.read_bytes()):
            spec.file("stderr").write_bytes(late)
            os.truncate(self._log, 0)

    def ended(self) -> Exit | None:
        """Return how it ended while it had nothing to do; None where it lives."""
        return self._child.wait(0)

    def wait(self, timeout_s: float) -> Exit | None:
        """Return the end of the attempt, or None when it still runs. The process may stay: see `is_free`."""
        if not self._stays:
            return self._child.wait(timeout_s)
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            answer, exit_ = self._listen(left_s)
            if exit_ is not None:
                return exit_
            if "declined" in answer:
                self.declined = str(answer["declined"])
                return self._child.wait(_KILL_WAIT_S)
            if "over" in answer:
                self._spec, self._has_served = None, True
                return self._wait_until_free()
        return None

    def _wait_until_free(self) -> Exit:
        deadline = time.monotonic() + RESTORE_S_MAX
        while (left_s := deadline - time.monotonic()) > 0:
            answer, exit_ = self._listen(left_s)
            if exit_ is not None:
                return exit_
            if "ends" in answer:
                self.ends = str(answer["ends"])
                self.is_free = not self.ends
                return Exit(0, float(answer["cpu_s"]), int(answer["peak_rss_bytes"]))
        self.ends = f"it was not free for another attempt after {RESTORE_S_MAX:.0f} s"
        self.kill_group()
        killed = self._child.wait(_KILL_WAIT_S)
        return Exit(0, killed.cpu_s if killed else 0.0, killed.peak_rss_bytes if killed else 0)

    def _listen(self, timeout_s: float) -> tuple[dict[str, Any], Exit | None]:
        """Return an answer, or how the process ended, or neither, within `timeout_s` or earlier."""
        if b"\n" not in self._answers:
            exit_ = self._receive(timeout_s)
            if exit_ is not None:
                return {}, exit_
        line, newline, rest = self._answers.partition(b"\n")
        if not newline:
            return {}, None
        self._answers = rest
        return json.loads(line), None

    def _receive(self, timeout_s: float) -> Exit | None:
        """Take in what the process says within `timeout_s`, or earlier; return how it ended where it has."""
        assert self._connection is not None
        # Not the end of file alone: what the process forked keeps the other end open.
        poll = select.poll()  # select() takes no descriptor above 1023
        poll.register(self._connection, select.POLLIN)
        if not poll.poll(1000 * min(_POLL_S, timeout_s)):
            return self._child.wait(0)
        data = b""
        with contextlib.suppress(ConnectionResetError):
            data = self._connection.recv(65536)
        self._answers += data
        return None if data else self._child.wait(timeout_s)

    def signal(self, number: int) -> None:
        self._child.signal(number)

    def kill_group(self) -> None:
        self._child.kill_group()

    def close(self) -> None:
        """End the process with all that it started. What it printed before its attempt is the attempt's, if that said nothing."""
        if self._connection is not None and self.is_free and self._has_fixtures:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)
            self._child.wait(RESTORE_S_MAX)
        self._child.kill_group()
        self._child.close()
        if self._connection is not None:
            self._connection.close()
        if self._log is not None:
            if self._spec is not None and not self._spec.file("stderr").exists():
                with contextlib.suppress(OSError):
                    self._spec.file("stderr").write_bytes(self._log.read_bytes())
            self._log.unlink(missing_ok=True)
            self._log = None
