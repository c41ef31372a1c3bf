"""The crew: N threads behind one barrier, every outcome and every exception kept. Child processes only."""

from __future__ import annotations

import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextlib import nullcontext
from dataclasses import dataclass
from dataclasses import field
from typing import Any
from typing import TextIO

import torch

from stress.child.oracle.digest import Weights
from stress.child.oracle.digest import digests
from stress.child.oracle.sequential import read_back
from stress.child.oracle.wrong_value import POISON_BYTE
from stress.child.state import state_tensors
from stress.child.state import storage_key
from stress.child.workload import Raised
from stress.child.workload import StepResult
from stress.child.workload import Workload
from stress.child.workload import fresh_copy
from stress.device.devices import Device
from stress.model import system
from stress.model.blackbox import BlackBox
from stress.model.blackbox import Writer
from stress.model.errors import BrokenScenario
from stress.model.finding import Finding
from stress.model.finding import broken
from stress.model.plan import Plan
from stress.model.verdict import Verdict
from stress.scenario import current
from stress.scenario.scenario import overrides

SWITCH_INTERVAL_S = 1e-5
"""Between the default 5 ms and pytest-run-parallel's 1 us, which on two cores is bimodal in cost."""
LEAK_JOIN_S = 1.0
_NATIVE_END_S_MAX = 1.0
_EVERY_K = 4
_PHASE_BARRIER, _PHASE_INPUT, _PHASE_STEP, _PHASE_READBACK, _PHASE_MAIN_STEP = 1, 2, 3, 4, 5

PerturbationFactory = Callable[[int, Writer], AbstractContextManager[Any]]


@dataclass
class CrewResult:
    """The crew's results: one outcome per slot (None where its thread died before), and what went wrong."""

    outcomes: list[StepResult | None]
    findings: list[Finding] = field(default_factory=list)
    main_steps: int = 0
    threads_peak: int = 0
    perturbation: dict[str, float] = field(default_factory=dict)
    began_ns: list[int] = field(default_factory=list)
    """When each slot's step began; 0 where none did."""


class Crew:
    """Runs one attempt's waves. `states` and `inputs` are prepared on the device before."""

    def __init__(
        self,
        workload: Workload,
        device: Device,
        states: Sequence[Any],
        inputs: Sequence[Any],
        *,
        box: BlackBox,
        readback: str,
        per_thread_streams: bool,
        perturbation: PerturbationFactory,
        weights: Weights | None,
        poison_bytes: Sequence[int] = (),
        one_thread: bool = False,
    ) -> None:
        self.workload, self.device, self.states, self.inputs = workload, device, states, inputs
        self.box, self.readback, self.weights = box, readback, weights
        self.per_thread_streams, self.perturbation = per_thread_streams, perturbation
        self.plan: Plan = workload.plan
        self.one_thread, self.poison_bytes = one_thread, poison_bytes
        slots = len(self.plan.slots)
        self.result = CrewResult([None] * slots, began_ns=[0] * slots)
        self._state_storages = {storage_key(tensor) for _, tensor in state_tensors(list(states))}
        self._lock = threading.Lock()

    def run(self, *, join_deadline_s: float | None = None) -> CrewResult:
        """Run all waves. With a deadline (no isolation), give up on stuck threads and report a hang."""
        before = set(threading.enumerate())
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        watch = _ForeignThreads()
        try:
            with watch:
                first_worker = 0
                for wave, (threads, _) in enumerate(self.plan.waves):
                    self._run_wave(wave, 1 if self.one_thread else threads, first_worker, join_deadline_s)
                    first_worker += threads
                self.box.stage("join")
                self._check_leaks(before)
        finally:
            sys.setswitchinterval(interval)
        self.result.findings += watch.findings
        return self.result

    def _run_wave(self, wave: int, threads: int, first_worker: int, join_deadline_s: float | None) -> None:
        barrier = threading.Barrier(threads)
        crew = []
        for thread in range(threads):
            slots = self.plan.of_thread(wave, thread)
            if self.one_thread:
                slots = [i for i in self.plan.order("round-robin", 0) if self.plan.slots[i].wave == wave]
            writer = self.box.writer(first_worker + thread)
            writer.status("waiting")
            crew.append(
                threading.Thread(
                    target=self._thread_main,
                    args=(barrier, slots, writer),
                    name=f"crew-{wave}-{thread}",
                    daemon=True,
                )
            )
        self.device.synchronize()  # the inputs and states were made on the main thread's stream
        try:
            for one in crew:
                one.start()
        except RuntimeError as error:
            barrier.abort()
            self.result.findings.append(
                broken("threads", f"cannot start {threads} threads ({error}): use fewer with --mps-threads")
            )
        self.result.threads_peak = max(self.result.threads_peak, threading.active_count())
        self._main_steps(crew)
        give_up = None if join_deadline_s is None else time.monotonic() + join_deadline_s
        for one in crew:
            if one.ident is not None:
                # Isolated, there is no limit here: a thread that is stuck in native code with the GIL held would keep
                # any limit of ours from being looked at. The parent has the clock, and kills the process.
                one.join(None if give_up is None else max(0.0, give_up - time.monotonic()))
        # Thread-local objects of native code, a stream's slot for instance, go after Python's join has returned. The
        # next wave would otherwise find the pool still full.
        system.await_thread_ends([one.native_id for one in crew if not one.is_alive()], _NATIVE_END_S_MAX)
        stuck = [one.name for one in crew if one.is_alive()]
        if stuck:
            text = (
                f"{len(stuck)} of {threads} threads still run after {join_deadline_s:.0f} s\n{_stacks(crew)}"
            )
            self.result.findings.append(Finding(Verdict.HANG, "hang", text))

    def _thread_main(self, barrier: threading.Barrier, slots: list[int], writer: Writer) -> None:
        first = self.plan.slots[slots[0]]
        step = current.Step(first.thread, 0, first.wave, self.plan.waves[first.wave][0])
        died = True
        torch.set_num_threads(1)
        replayable = self.device.is_replayable
        try:
            # The start is hard to get right. A barrier before the streams and the perturbation lets threads begin one
            # after another: entering takes each of them a time of its own. So the barrier is the last thing before the
            # first step. That does not work in an order that repeats: from `schedule` on one thread runs at a time, and
            # one that kept the turn at a barrier would keep out those that it waits for. There the barrier comes first.
            if replayable:  # what comes before the first step is a part of the order that repeats
                barrier.wait()
            with (
                self.device.schedule(first.thread, barrier.parties),
                self._stream(),
                self.perturbation(first.worker, writer),
            ):
                step.stream = self.device.current_stream()
                current.enter(step)
                self._poison()
                if not replayable:
                    barrier.wait()
                writer.status("running")
                self._run_slots(slots, step, writer)
                died = False
        except threading.BrokenBarrierError:
            pass
        except BaseException as error:
            barrier.abort()  # before it, the others would wait for this thread for ever
            self._add(_of_thread(error, step))
        finally:
            current.leave()
            writer.status("died" if died else "finished")

    def _run_slots(self, slots: list[int], step: current.Step, writer: Writer) -> None:
        kept: list[StepResult] = []
        for turn, index in enumerate(slots):
            slot = self.plan.slots[index]
            step.thread_index, step.iteration = slot.thread, slot.iteration
            writer.iteration(slot.wave, slot.iteration)
            self.device.note_step(slot.thread, slot.iteration)
            writer.phase(_PHASE_INPUT)
            x = fresh_copy(self.inputs[index])
            writer.phase(_PHASE_STEP)
            self.result.began_ns[index] = time.perf_counter_ns()
            outcome = self.workload.run(self.states, slot, x)
            writer.phase(_PHASE_READBACK)
            self._own(outcome, x)
            if self.readback == "every":
                read_back(outcome)
            elif self.readback == "digest" and self.weights is not None:
                if outcome.spec is not None:
                    outcome.leaves = digests(outcome.leaves, outcome.spec.values, self.weights)
            elif self.readback == "every-4th":
                kept.append(outcome)
                if turn % _EVERY_K == _EVERY_K - 1:
                    for one in kept:
                        read_back(one)
                    kept.clear()
            # No lock: each slot has one writer, and a lock between two steps would order the threads.
            self.result.outcomes[index] = outcome
            if outcome.raised is not None and outcome.raised.kind in ("SystemExit", "KeyboardInterrupt"):
                raise _ThreadEnds(outcome.raised.kind)

    def _own(self, outcome: StepResult, x: Any) -> None:
        """Clone, on this thread and stream, what shares memory with the state or the input."""
        # A step that returns its state or its input returns memory that the next step changes: read back later, the
        # value would be wrong without any race. Another thread or stream may not clone it, which would add the order
        # that is tested.
        if not outcome.leaves:
            return
        shared = self._state_storages | {storage_key(tensor) for _, tensor in state_tensors(x)}
        outcome.leaves = [
            leaf.detach().clone() if storage_key(leaf) in shared else leaf.detach() for leaf in outcome.leaves
        ]

    def _stream(self) -> AbstractContextManager[object]:
        return self.device.thread_stream() if self.per_thread_streams else nullcontext()

    def _poison(self) -> None:
        """Fill memory of the outputs' sizes with a known byte and free it, so that unwritten results show.

        On the crew's own thread and stream, since free lists are per stream. Not in a scenario that wants
        its process cold: filling is an op.
        """
        if self.workload.scenario.fresh_process:
            return
        device = self.device.torch_device
        for size in self.poison_bytes:
            blocks = [
                torch.empty(size, dtype=torch.uint8, device=device).fill_(POISON_BYTE) for _ in range(2)
            ]
            del blocks

    def _main_steps(self, crew: Sequence[threading.Thread]) -> None:
        if not overrides(self.workload.scenario, "main_step"):
            return
        writer = self.box.writer(None)
        writer.status("running")
        argument = self.workload.finish_argument(self.states)
        while True:
            writer.iteration(0, self.result.main_steps)
            writer.phase(_PHASE_MAIN_STEP)
            try:
                self.workload.scenario.main_step(argument)
            except BaseException as error:
                self._add(Raised.of(error).finding("main_step: "))
                break
            self.result.main_steps += 1
            if not any(one.is_alive() for one in crew):
                break
        writer.status("finished")

    def _add(self, finding: Finding) -> None:
        with self._lock:
            self.result.findings.append(finding)

    def _check_leaks(self, before: set[threading.Thread]) -> None:
        """Report threads that a step started and did not end; each gets a moment to end."""
        left = [
            one for one in threading.enumerate() if one not in before and not one.name.startswith("crew-")
        ]
        for one in left:
            one.join(LEAK_JOIN_S)
        names = sorted(one.name for one in left if one.is_alive())
        if names:
            self._add(
                broken(
                    "leaked-threads",
                    f"a step left {len(names)} threads running ({', '.join(names[:4])}): join them in the step",
                )
            )


class _ThreadEnds(Exception):
    """A step asked to end its thread or process."""


def _of_thread(error: BaseException, step: current.Step) -> Finding:
    if isinstance(error, _ThreadEnds):
        return Finding(
            Verdict.RACE,
            "thread-died",
            f"{error} ended the thread",
            step.wave,
            step.thread_index,
            step.iteration,
        )
    raised = Raised.of(error)
    found = (
        broken("scenario", str(error), raised.trace)
        if isinstance(error, BrokenScenario)
        else raised.finding()
    )
    found.wave, found.thread, found.iteration = step.wave, step.thread_index, step.iteration
    return found


class _ForeignThreads:
    """Keeps exceptions of threads that a step started, un-awaited coroutines, and errors in finalisers."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def __enter__(self) -> None:
        self._hooks = threading.excepthook, sys.unraisablehook
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        self._show = warnings.showwarning
        threading.excepthook = self._of_thread
        sys.unraisablehook = self._unraisable
        warnings.showwarning = self._warning
        warnings.filterwarnings("always", message=".*was never awaited", category=RuntimeWarning)

    def __exit__(self, *_: object) -> None:
        threading.excepthook, sys.unraisablehook = self._hooks
        self._warnings.__exit__(None, None, None)

    def _of_thread(self, args: threading.ExceptHookArgs) -> None:
        error = args.exc_value if args.exc_value is not None else args.exc_type()
        who = args.thread.name if args.thread is not None else "a thread"
        self.findings.append(Raised.of(error).finding(f"in thread {who!r} started by a step: "))

    def _unraisable(self, args: Any) -> None:
        self.findings.append(
            Finding(
                Verdict.RACE,
                "exception",
                f"while finalising {args.object!r:.80}: {args.exc_type.__name__}: {args.exc_value}",
            )
        )

    def _warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if "was never awaited" in str(message):
            self.findings.append(
                broken("coroutine", f"{message}: a step must run its coroutines, with asyncio.run(...)")
            )
        self._show(message, category, filename, lineno, file, line)


def _stacks(crew: Sequence[threading.Thread]) -> str:
    frames = sys._current_frames()
    parts = []
    for one in crew:
        frame = frames.get(one.ident or 0)
        if frame is not None and one.is_alive():
            parts.append(f"{one.name}:\n{''.join(traceback.format_stack(frame, limit=8))}")
    return "\n".join(parts)
