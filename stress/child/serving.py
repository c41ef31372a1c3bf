"""The life of a child: run one ordered attempt after another, until an order is the last or the process is not as it was.

All children live like this; a fresh one has served none. Orders and answers are JSON lines on one connection. The parent
keeps deadlines and verdicts, and decides with each order whether the process stays. It answers when it begins, since a fresh
interpreter imports torch before, for as long as a busy machine takes; and, where it stays, twice more, since what it does
between two attempts is not the attempt's: when the result is written, and when it is free for the next one.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any
from typing import NoReturn

from stress.child import process
from stress.model import system
from stress.model.spec import TESTS
from stress.model.spec import ChildSpec
from stress.model.spec import load_spec
from stress.model.verdict import Verdict
from stress.model.verdict import worst


def order(spec_path: Path, *, stays: bool, log: Path | None) -> bytes:
    """Return the line that orders an attempt. What the process prints when it has none goes to `log`."""
    return (
        json.dumps({"spec": str(spec_path), "stays": stays, "log": str(log or os.devnull)}).encode() + b"\n"
    )


def serve(connection: socket.socket, *, forked_for: ChildSpec | None = None) -> NoReturn:
    """Run what is ordered, and end the process: as a forked child ends, without exit handlers.

    `forked_for`: it was forked by a process that had prepared this spec's device and collected its test file.
    """
    if forked_for is not None:
        from stress.device import preparation

        preparation.go_on_in_fork(forked_for)
    server = _Server(connection, is_prepared=forked_for is not None)
    try:
        server.run()
    except BaseException as error:
        process.fail(server.spec, error)
    os._exit(0)


def run_alone(spec: ChildSpec) -> None:
    """Run the one attempt of an interpreter that was started for it."""
    from stress.child import tasks

    process.prepare(spec)
    tasks.write_result(spec, tasks.result_of(spec))
    _flush()


class _Server:
    def __init__(self, connection: socket.socket, *, is_prepared: bool) -> None:
        self._connection, self._orders = connection, connection.makefile("rb")
        self._is_prepared = is_prepared
        self.spec: ChildSpec | None = None
        self._age = 0
        self._baseline: Any = None

    def run(self) -> None:
        while line := self._orders.readline():
            asked = json.loads(line)
            self.spec = load_spec(Path(asked["spec"]))
            self._answer(begun=True)
            if not self._attempt(self.spec, stays=asked["stays"], log=asked["log"]):
                return
        if self.spec is not None and self.spec.test is not None:
            tasks_of_tests = importlib.import_module(TESTS)
            tasks_of_tests.finish()

    def _attempt(self, spec: ChildSpec, *, stays: bool, log: str) -> bool:
        """Run an attempt; return whether the process can take another one."""
        from stress.child import tasks

        began_s = system.own_usage().cpu_s
        process.prepare(spec)
        # An ordinary test finds what those before it in its file have left, as in any pytest.
        if stays and self._baseline is None and spec.kind != "probe" and spec.test is None:
            self._baseline = _baseline(spec)
        elif self._is_prepared:
            from stress.device import preparation

            preparation.prepare_again(spec)
        self._is_prepared = True
        result = tasks.result_of(spec)
        if self._age and spec.test is None and (why := _says_nothing(result)):
            self._answer(declined=why)
            return False
        tasks.write_result(spec, result)
        _flush()
        if not stays or (result["findings"] and not result.get("stays")):
            return False
        self._answer(over=True)
        del result
        why = self._baseline.restore(spec) if self._baseline is not None else ""
        faulthandler.cancel_dump_traceback_later()  # it would end a process that waits for its next order
        _flush()
        _print_to(log)
        used = system.own_usage()
        self._answer(ends=why, cpu_s=used.cpu_s - began_s, peak_rss_bytes=used.peak_rss_bytes)
        self._age += 1
        return not why

    def _answer(self, **fields: object) -> None:
        self._connection.sendall(json.dumps(fields).encode() + b"\n")


def _baseline(spec: ChildSpec) -> object:
    """Return what this process is restored to: with the device and operators that all of its attempts have."""
    from stress.child.baseline import Baseline
    from stress.device import operator_patch
    from stress.device import preparation

    try:
        preparation.prepare(spec)
        operator_patch.apply(spec.operators, spec.device)
    except Exception:
        return None  # the attempt meets it again, and says it
    return Baseline()


def _says_nothing(result: dict[str, Any]) -> str:
    """Return the first finding where none is about the device: a file that cannot be imported twice, for instance.

    A process that has served no other attempt then says whether the scenario is at fault, or what came before it.
    """
    verdicts = [Verdict(one["verdict"]) for one in result["findings"]]
    if not verdicts or worst(verdicts).enters_rate:
        return ""
    lines = str(result["findings"][0]["text"]).splitlines() or [""]
    return lines[0]


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _print_to(log: str) -> None:
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor in (1, 2):
        os.dup2(target, descriptor)
    os.close(target)
