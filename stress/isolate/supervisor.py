"""The supervisor: watch one child from the parent, from its start to everything it leaves behind.

The parent owns the deadline. At it, in this order: Python stacks of all threads (SIGUSR1, also with the GIL
held), native stacks where the platform has a tool, the black box, then SIGKILL for the process group.
"""

from __future__ import annotations

import functools
import json
import signal
import sys
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import Any

import psutil

from stress.isolate.backend import Exit
from stress.isolate.backend import IsolationError
from stress.isolate.backend import can_fork
from stress.isolate.child_process import SENT_BY_OTHERS
from stress.isolate.child_process import ChildProcess
from stress.isolate.child_texts import native_stacks
from stress.isolate.child_texts import read_bounded
from stress.isolate.child_texts import wait_for_text
from stress.isolate.fork_server import ForkServer
from stress.isolate.hosted_server import HostedServer
from stress.isolate.spawner import Spawner
from stress.isolate.stall import POLL_S
from stress.isolate.stall import StallWatch
from stress.model import blackbox
from stress.model.spec import ATTEMPTS_PER_PROCESS
from stress.model.spec import TESTS_PER_PROCESS
from stress.model.spec import ChildSpec
from stress.model.spec import CoreSpec
from stress.model.spec import SimSpec
from stress.sanitizer.python.children import Children
from stress.sanitizer.python.children import TsanResult

CREW_PROCESSES = 5
"""Processes that take turns with the attempts of an item: as many as a quick run has attempts. Each holds a torch."""
_CREW = "crew "
_KILL_WAIT_S = 20.0


@dataclass
class ChildRun:
    """All that is known after a child's end. ``result`` is None when it wrote none."""

    spec: ChildSpec
    result: dict[str, Any] | None
    exit: Exit | None
    hung: bool
    seconds: float
    started: float
    pid: int
    stderr: str = ""
    stdout: str = ""
    stacks: str = ""
    native_stacks: str = ""
    snapshot: blackbox.Snapshot | None = None
    hang_cpu_s: float | None = None
    threads: int | None = None
    stalled: bool = False
    """No deadline was reached: every thread was asleep for `spec.stall_s`."""
    tsan: TsanResult | None = None
    """ThreadSanitizer's reports, of a child that ran under it."""
    lost: str = ""
    """Why nothing is known about the child's end: the server that had started it was lost."""
    before: tuple[str, ...] = ()
    """Names of the attempts that its process had served before, in order."""
    notes: list[str] = field(default_factory=list)
    """What is to be said about the process."""
    dismiss: Callable[[], object] = lambda: None
    """Ends the process, which may serve others still: to be called where the attempt was not green."""
    again: str = ""
    """Why nothing follows from it, so that it is to be run again in a fresh process."""


class Supervisor:
    """Starts children and waits for them. One at a time: attempts must not disturb each other.

    They run in this interpreter, or in another one, `python`, which imports from its own environment and takes only
    this package from here. With `tsan` they run under ThreadSanitizer, whose preloaded runtime needs separate processes,
    and whose reports name a process.

    Up to `attempts_per_process` attempts of a kind (crews; or what runs on one thread alone) share a process as long as
    they are green, follow one another on the same device, and agree to it (`ChildSpec.shares_process`). Without that
    number it is the device's, and the attempts of one item are spread over `CREW_PROCESSES`, which take turns: in one
    process they would share its fate, and together be worth a single attempt.
    """

    def __init__(
        self,
        device_library: str = "",
        python: str = sys.executable,
        tsan: Children | None = None,
        preload: Sequence[str] = (),
        attempts_per_process: int | None = None,
    ) -> None:
        # A forked child would have the server's runtime, which does not know where this child's reports go.
        self._forks = can_fork() and tsan is None
        self._tsan = tsan
        self._limit = attempts_per_process if tsan is None else 1
        self._crew_processes = CREW_PROCESSES if attempts_per_process is None else 1
        self._is_foreign = python != sys.executable
        self._server = ForkServer(device_library, python, preload)
        self._server_with = functools.partial(ForkServer, device_library, python, preload)
        self._with_env: tuple[Mapping[str, str], ForkServer] | None = None
        """The server for the environment that was asked for last."""
        self._spawner = Spawner(device_library, python, tsan.env() if tsan is not None else {})
        self.hosted_problem = ""
        """Why each process for the last test file imports it by itself, which takes its time."""
        self._hosted: tuple[_Setting, HostedServer] | None = None
        self._workers: dict[str, tuple[_Setting, ChildProcess]] = {}
        self._declined: set[str] = set()
        """Scenarios that need their own processes, as one has shown."""

    def attempts_per_process(self, device: str) -> int:
        """Return how many attempts a process may serve: one where it costs next to nothing to start one."""
        if self._limit is not None:
            return self._limit
        return 1 if self._forks and device != "cuda" else ATTEMPTS_PER_PROCESS

    def _limit_of(self, spec: ChildSpec) -> int:
        if spec.test is None:
            return self.attempts_per_process(spec.device)
        return TESTS_PER_PROCESS if self._limit is None else self._limit

    def warm_up(self) -> None:
        """Start what takes long to start, without waiting for it."""
        if self._forks:
            self._server.warm_up()
        else:  # the first two are wanted one after the other: for what runs alone, and for crews
            self._spawner.warm_up(2)

    def run(self, spec: ChildSpec, workers: int) -> ChildRun:
        """Run one child to its end or deadline; `workers` is the number of slots of its black box."""
        if self._is_foreign:
            spec = replace(spec, sys_path=())
        run = self._run_once(spec, workers)
        if not run.again:
            return run
        self._declined.add(_what(spec))
        for suffix in (
            "result.json",
            "result.part",
            "stderr",
            "stdout",
            "stacks",
            "native",
            "reference",
            "reference.json",
        ):
            spec.file(suffix).unlink(missing_ok=True)
        fresh = self._run_once(spec, workers)
        fresh.notes += [f"in a process of its own, because in one that had served others: {run.again}"]
        return fresh

    def _run_once(self, spec: ChildSpec, workers: int) -> ChildRun:
        blackbox.BlackBox.create(spec.file("blackbox"), workers)
        started, clock = time.time(), time.monotonic()
        lane = self._lane(spec)
        limit = self._limit_of(spec) if lane else 1
        run = ChildRun(spec, None, None, False, 0.0, started, 0)
        worker = self._take(spec, lane, run)
        try:
            run.pid, run.before = worker.pid, tuple(worker.served)
            worker.begin(spec, stays=len(run.before) + 1 < limit)
            run.exit = self._wait(worker, run)
            run.hung = run.exit is None
            if run.hung:
                self._examine_hang(worker, run)
                worker.kill_group()
                run.exit = worker.wait(_KILL_WAIT_S)
        except IsolationError as error:
            run.lost = str(error)
        finally:
            if worker.is_free:
                self._workers[lane] = _Setting.of(spec), worker
                run.dismiss = functools.partial(self._end, lane)
            else:
                worker.close()
        if worker.ends:
            run.notes.append(f"its process served no other attempt: {worker.ends}")
        run.seconds = time.monotonic() - clock
        self._collect(run)
        run.again = worker.declined or _died_alone(run)
        if not self._forks:
            self._spawner.warm_up()
        return run

    def _lane(self, spec: ChildSpec) -> str:
        """Return the kind of process that the child may share, or "" for one of its own."""
        alone = spec.kind in ("reference", "probe")
        if (
            not (alone or (spec.kind == "crew" and spec.shares_process))
            or (spec.one_thread and spec.test is None)
            or spec.env
            or (
                spec.sim is not None and spec.sim.schedule != "free"
            )  # it repeats from a process's first operation on
            or (
                spec.core is not None and spec.test is None
            )  # attempts have completions, a process is given one
            or spec.order  # what observes all accesses stays where it is installed
            or _what(spec) in self._declined
            or self._limit_of(spec) == 1
        ):
            return ""
        if spec.one_thread:
            return "control"
        return "alone" if alone else f"{_CREW}{spec.attempt % self._crew_processes}"

    def _take(self, spec: ChildSpec, lane: str, run: ChildRun) -> ChildProcess:
        """Return a process for the child: one that has served others, if it may share it, else a fresh one."""
        setting, worker = self._workers.pop(lane, (None, None))
        if worker is not None:
            try:
                ended = worker.ended()
            except IsolationError:  # with the server that had started it
                setting, ended = None, None
            if setting == _Setting.of(spec) and (ended is None or -ended.code not in SENT_BY_OTHERS):
                return (
                    worker  # one that died by itself is this attempt's: what it left undone shows in the next
                )
            if ended is not None:
                run.notes.append(f"process {worker.pid} was killed while it had nothing to do")
            worker.close()
        if spec.kind == "process" or (spec.env and not self._forks):
            return self._spawner.program(spec)
        if spec.env:
            return self._start_with(spec)
        if not self._forks:
            return self._spawner.start()
        return self._server.start() if spec.test is None else self._start_hosted(spec)

    def _start_with(self, spec: ChildSpec) -> ChildProcess:
        """Return a process that had the spec's environment when it imported torch, which reads it then."""
        if self._with_env is None or self._with_env[0] != spec.env:
            self._close_with_env()
            self._with_env = spec.env, self._server_with(spec.env)
        try:
            return self._with_env[1].start()
        except IsolationError:
            # Torch may not be importable in this environment. What it says then is the attempt's, and so is its end: in a
            # process of its own.
            return self._spawner.program(spec)

    def _close_with_env(self) -> None:
        if self._with_env is not None:
            self._with_env[1].close()
            self._with_env = None

    def _start_hosted(self, spec: ChildSpec) -> ChildProcess:
        """Return a process that has the spec's test file collected, or will collect it."""
        setting = _Setting.of(spec)
        if self._hosted is None or self._hosted[0] != setting:
            self._close_hosted()
            self._hosted = setting, HostedServer(self._server, spec)
            self.hosted_problem = self._hosted[1].problem
        return self._hosted[1].start()

    def _close_hosted(self) -> None:
        if self._hosted is not None:
            self._hosted[1].close()
            self._hosted = None

    def _end(self, lane: str) -> None:
        _, worker = self._workers.pop(lane, (None, None))
        if worker is not None:
            worker.close()

    def _wait(self, child: ChildProcess, run: ChildRun) -> Exit | None:
        """Return the exit, or None at the deadline, or earlier if nothing in the child moves any more."""
        spec = run.spec
        if not spec.stall_s or not StallWatch.works():
            return child.wait(spec.deadline_s)
        watch = StallWatch(child.pid, spec.file("blackbox"), spec.stall_s)
        deadline = time.monotonic() + spec.deadline_s
        while (left_s := deadline - time.monotonic()) > 0:
            ended = child.wait(min(POLL_S, left_s))
            if ended is not None:
                return ended
            if watch.is_stalled():
                run.stalled = True
                return None
        return None

    def _examine_hang(self, child: ChildProcess, run: ChildRun) -> None:
        try:
            process = psutil.Process(child.pid)
            times = process.cpu_times()
            run.hang_cpu_s = times.user + times.system
            run.threads = process.num_threads()
        except psutil.Error:
            pass
        child.signal(signal.SIGUSR1)
        wait_for_text(run.spec.file("stacks"))
        run.native_stacks = native_stacks(child.pid, run.spec.file("native"))

    def _collect(self, run: ChildRun) -> None:
        spec = run.spec
        if self._tsan is not None:
            run.tsan = self._tsan.collect(run.pid, spec.file("stderr"), spec.file("tsan"))
        run.stderr = read_bounded(spec.file("stderr"))
        run.stdout = read_bounded(spec.file("stdout"))
        run.stacks = read_bounded(spec.file("stacks"))
        try:
            run.snapshot = blackbox.read(spec.file("blackbox"))
        except (OSError, ValueError):
            run.snapshot = None
        try:
            run.result = json.loads(spec.file("result.json").read_text())
        except (OSError, ValueError):
            run.result = None

    def end_crews(self) -> None:
        """Let the next crew begin in a fresh process."""
        for lane in [one for one in self._workers if one.startswith(_CREW)]:
            self._end(lane)

    def close(self) -> None:
        for lane in list(self._workers):
            self._end(lane)
        self._close_hosted()
        self._close_with_env()
        self._server.close()
        self._spawner.close()
        if self._tsan is not None:
            self._tsan.close()


@dataclass(frozen=True)
class _Setting:
    """What attempts of one process have in common."""

    device: str
    sim: SimSpec | None
    core: CoreSpec | None
    operators: tuple[str, ...]
    file: str
    """Of ordinary tests, which a process collects once."""

    @classmethod
    def of(cls, spec: ChildSpec) -> _Setting:
        file = spec.test.file if spec.test is not None else ""
        return cls(spec.device, spec.sim, spec.core, spec.operators, file)


def _what(spec: ChildSpec) -> str:
    """Return what a spec runs, whatever the attempt."""
    return f"{spec.kind} {spec.scenario} {spec.overrides}"


def _died_alone(run: ChildRun) -> str:
    """Return how a process that runs on one thread, and had served others, ended: it may be their doing."""
    if run.spec.kind != "reference" or not run.before or (run.result is not None and not run.hung):
        return ""
    return "it hung" if run.hung else f"it ended with {run.exit}"
