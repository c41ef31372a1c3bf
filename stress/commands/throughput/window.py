"""A window: lanes start together, serve for a fixed time, and report what they did. Child side, one process per window.

With processes, this process is the first of them and starts the others before its first operation: forked where that is
safe, else fresh interpreters. They share its process group, so that the parent's deadline ends them all.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from stress.child import process
from stress.commands.throughput.catalogue import BATCHING
from stress.commands.throughput.catalogue import PROCESSES
from stress.commands.throughput.gate import Gate
from stress.commands.throughput.lane import Lane
from stress.commands.throughput.lane import LaneTally
from stress.commands.throughput.lane import Model
from stress.device import preparation
from stress.isolate.backend import can_fork
from stress.isolate.backend import interpreter
from stress.model import system
from stress.model.blackbox import BlackBox
from stress.model.finding import Finding
from stress.model.spec import ChildSpec
from stress.model.spec import WindowSpec
from stress.model.spec import load_spec
from stress.model.verdict import Verdict

_PERCENTILE_MIN = 100
"""Requests without which a 99th percentile would be the slowest one under another name."""


class HelperLost(Exception):
    """Another process of the window ended early; the text says how."""


def run(spec: ChildSpec, result: dict[str, Any]) -> list[Finding]:
    """Run one window; return what is wrong with it, and put its figures into `result`."""
    torch.set_num_threads(1)
    box = BlackBox(spec.file("blackbox"), 0)
    box.stage("setup")
    window = _window(spec)
    try:
        tallies = _processes(spec, box) if window.way == PROCESSES else _lanes(spec, box)
    except HelperLost as error:
        return [Finding(Verdict.CRASH, "process", str(error))]
    box.stage("done")
    findings = [Finding.from_data(one) for tally in tallies for one in tally.findings]
    if not findings:
        result["window"] = _figures(tallies, window)
    result["wrong"] = sum(one.wrong for one in tallies)
    return findings


def _window(spec: ChildSpec) -> WindowSpec:
    assert spec.window is not None, "given with this kind of child"
    return spec.window


def _figures(tallies: list[LaneTally], window: WindowSpec) -> dict[str, Any]:
    latencies_s = sorted(one for tally in tallies for one in tally.latencies_s)
    enough = len(latencies_s) >= _PERCENTILE_MIN
    return {
        "requests": sum(one.requests for one in tallies),
        "rate_per_s": sum(one.requests / one.busy_s for one in tallies),
        "seconds": max(one.busy_s for one in tallies),
        "checking_share": sum(one.checking_s for one in tallies) / sum(one.busy_s for one in tallies),
        "latency_p50_s": statistics.median(latencies_s),
        "latency_p99_s": latencies_s[len(latencies_s) * 99 // 100] if enough else None,
        "window_s": window.seconds,
    }


def _lanes(spec: ChildSpec, box: BlackBox) -> list[LaneTally]:
    """Serve from threads of this process; a batch is served by one."""
    window = _window(spec)
    model = Model(spec)
    one_batch = window.way == BATCHING
    numbers = range(1 if one_batch else window.count)
    lanes = [Lane(model, number, window.count if one_batch else 1) for number in numbers]
    barrier = threading.Barrier(len(lanes))

    def work(lane: Lane) -> None:
        torch.set_num_threads(1)
        lane.warm_up(window.warm_up_s)
        barrier.wait()
        lane.measure(window.seconds)

    box.stage("crew")
    threads = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [lane.tally for lane in lanes]


def _processes(spec: ChildSpec, box: BlackBox) -> list[LaneTally]:
    """Serve from this process and from others that it starts."""
    count = _window(spec).count
    gate = Gate.create(spec.file("gate"), count)
    helpers = [_start(spec, gate, number) for number in range(1, count)]
    try:
        box.stage("crew")
        own = _serve(spec, gate, 0, helpers)
        return [own, *(one.tally() for one in helpers)]
    finally:
        gate.remove()


def _serve(spec: ChildSpec, gate: Gate, number: int, helpers: list[Helper]) -> LaneTally:
    """Serve as process `number`; the first one opens the gate once all are warm."""
    window = _window(spec)
    lane = Lane(Model(spec), number, 1)
    lane.warm_up(window.warm_up_s)
    gate.arrive(number)
    if number == 0:
        while not gate.all_arrived():
            for helper in helpers:
                helper.check()
            time.sleep(0.001)
        gate.open()
    else:
        gate.wait()
    lane.measure(window.seconds)
    return lane.tally


class Helper:
    """Another process of the window, and the end of the pipe on which its tally comes."""

    def __init__(self, number: int, pid: int, reader: int) -> None:
        self._number, self._pid, self._reader = number, pid, reader
        self._status: int | None = None

    def check(self) -> None:
        """Raise `HelperLost` where the process ended before the gate opened."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid:
            self._status = status
            raise HelperLost(self._ending())

    def tally(self) -> LaneTally:
        """Return what the process did; raise `HelperLost` where it did not tell."""
        with os.fdopen(self._reader, "rb") as pipe:
            data = pipe.read()
        _, self._status = os.waitpid(self._pid, 0)
        if self._status or not data:
            raise HelperLost(self._ending())
        return LaneTally.from_data(json.loads(data))

    def _ending(self) -> str:
        code = os.waitstatus_to_exitcode(self._status or 0)
        how = f"by signal {-code}" if code < 0 else f"with exit status {code}"
        return f"process {self._number} of the window ended {how} before it could report what it did"


def _start(spec: ChildSpec, gate: Gate, number: int) -> Helper:
    reader, writer = os.pipe()
    if not can_fork():
        command = [
            *interpreter("stress.commands.throughput.window"),
            str(spec.dump()),
            str(number),
            str(writer),
        ]
        started = subprocess.Popen([*command, str(os.getpid())], pass_fds=[writer])
        os.close(writer)
        started.returncode = 0  # `Helper` waits for it: subprocess must not
        return Helper(number, started.pid, reader)
    leader = os.getpid()
    pid = os.fork()
    if pid:
        os.close(writer)
        return Helper(number, pid, reader)
    code = 1
    try:
        os.close(reader)
        system.die_with_parent(leader)
        _tell(_serve(spec, gate, number, []), writer)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _tell(tally: LaneTally, writer: int) -> None:
    with os.fdopen(writer, "wb") as pipe:
        pipe.write(json.dumps(tally.to_data()).encode())
    sys.stderr.flush()


def main() -> None:
    """Be a helper in a fresh interpreter: `... SPEC NUMBER DESCRIPTOR LEADER`."""
    spec = load_spec(Path(sys.argv[1]))
    number, writer, leader = map(int, sys.argv[2:5])
    system.die_with_parent(leader)
    process.redirect(spec)
    sys.path[:] = list(spec.sys_path) or sys.path
    torch.set_num_threads(1)
    preparation.prepare(spec)
    _tell(_serve(spec, Gate.join(spec.file("gate")), number, []), writer)
    os._exit(0)


if __name__ == "__main__":
    main()
