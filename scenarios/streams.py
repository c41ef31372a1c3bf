"""Threads and their streams: which thread gets which, for how long, and what happens at the limits of a pool."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current
from stress import streams
from stress.scenario.exact import climb
from stress.scenario.exact import count_wrong
from stress.scenario.exact import shift_matrix
from stress.scenario.exact import total

_WORKER_STREAMS = 31
_BARRIER_S_MAX = 30.0
_REFUSED_S_MAX = 10.0


class _EndOfThread:
    """Dies with the thread that has it as a thread-local: before the native thread, and so its stream's slot, ends."""

    def __init__(self, owner: dict[int, threading.Thread], lock: threading.Lock) -> None:
        self._owner, self._lock, self._thread = owner, lock, threading.current_thread()

    def __del__(self) -> None:
        _forget(self._owner, self._lock, self._thread)


def _forget(owner: dict[int, threading.Thread], lock: threading.Lock, thread: threading.Thread) -> None:
    with lock:
        for stream in [one for one, of in owner.items() if of is thread]:
            del owner[stream]


class _Claims:
    """The stream of each living thread; counts events that never happen in a pool with enough streams."""

    def __init__(self) -> None:
        self._owner: dict[int, threading.Thread] = {}
        self._lock = threading.Lock()
        self._local = threading.local()
        self.shared = 0
        self.misplaced = 0

    def claim(self, stream: int) -> None:
        """Note that the calling thread is on `stream`."""
        me = threading.current_thread()
        # Not by is_alive(): it is still true for a thread that has ended while another one is about to return from
        # joining it (CPython 3.11: the joiner holds the lock that is_alive() tries).
        if not hasattr(self._local, "end"):
            self._local.end = _EndOfThread(self._owner, self._lock)
        with self._lock:
            self.shared += self._owner.get(stream, me) is not me
            self.misplaced += (stream == 0) != (me is threading.main_thread())
            self._owner[stream] = me

    def give_up(self) -> None:
        """Note that the calling thread is no longer on a stream."""
        _forget(self._owner, self._lock, threading.current_thread())

    @property
    def counts(self) -> dict[str, int]:
        return {"streams of two live threads": self.shared, "main and workers mixed up": self.misplaced}


class StreamAssignment(Scenario):
    """Every thread keeps one stream over many operators: the main thread the default one, each worker its own."""

    origin = (
        "Stream Assignment and Thread Boundary of dropbox/dML (test_stream_assignment.py, test_thread_boundary.py)",
    )
    rows: ClassVar[tuple[int, ...]] = (8,)
    requires = ("per_thread_streams", "stream_ids")
    threads_max = _WORKER_STREAMS
    iterations = 12

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {
            "shift": shift_matrix(64).to(device),
            "claims": _Claims(),
            "lock": threading.Lock(),
            "moves": 0,
            "wrong on main": 0,
        }

    def step(self, state: dict[str, Any], x: None) -> int:
        return self._work(state)

    def main_step(self, state: dict[str, Any]) -> None:
        state["wrong on main"] += self._work(state)

    def _work(self, state: dict[str, Any]) -> int:
        """Run a chain of operators, asking for the stream before each; return how many elements are wrong."""
        shift = state["shift"]
        seen = set()
        y = torch.zeros(32, len(shift), device=shift.device)
        for _ in range(6):
            seen.add(streams.current_stream_id(shift.device))
            y = (y + 1.0) @ shift
        for stream in seen:
            state["claims"].claim(stream)
        with state["lock"]:
            state["moves"] += len(seen) - 1
        return int(count_wrong(y, 6.0))

    def finish(self, state: dict[str, Any]) -> dict[str, int]:
        return {
            **state["claims"].counts,
            "moves to another stream": state["moves"],
            "wrong on main": state["wrong on main"],
        }


class ThreadChurn(Scenario):
    """Waves of short-lived threads, each of which runs a chain of operators once and ends."""

    origin = ("Thread Churn and Pool: Reuse Churn of dropbox/dML",)
    rows: ClassVar[tuple[int, ...]] = (9,)
    params = {"pattern": ["10x8", "50x1", "4x20"]}
    pattern: str

    @property
    def waves(self) -> Sequence[tuple[int, int]]:  # type: ignore[override]
        rounds, threads = map(int, self.pattern.split("x"))
        return ((threads, 1),) * rounds

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.randn(48, 48).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 48, generator=generator)

    def step(self, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(x @ state)
        return torch.softmax(y @ state + x, dim=-1)


class PoolAtCapacity(Scenario):
    """As many threads live as the pool has worker streams, time after time: each has its own, and none is lost."""

    origin = (
        "Pool Wraparound and Max Streams of dropbox/dML: 31 live threads, and more than 31 one after another",
    )
    rows: ClassVar[tuple[int, ...]] = (9,)
    requires = ("per_thread_streams", "stream_ids")
    waves = ((_WORKER_STREAMS, 1),) * 4

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(16).to(device), "claims": _Claims()}

    def step(self, state: dict[str, Any], x: None) -> int:
        state["claims"].claim(streams.current_stream_id(state["shift"].device))
        return _climb_checked(state["shift"])

    def finish(self, state: dict[str, Any]) -> dict[str, int]:
        counts: dict[str, int] = state["claims"].counts
        return counts


class BeyondCapacity(Scenario):
    """More threads than the pool has worker streams share, wait, or are refused until one ends: all results are right."""

    origin = ("test_oversubscription.py of dropbox/dML; suite row 9: 31, 32, 33 and 64 live threads",)
    rows: ClassVar[tuple[int, ...]] = (9,)
    params = {"live": [32, 33, 64]}
    waves = ((1, 2),)
    live: int

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(16).to(device)

    def step(self, state: torch.Tensor, x: None) -> int:
        # It starts its own threads: those of a crew wait for each other with a stream each, and only 31 exist.
        wrong: list[int] = []
        all_live = threading.Barrier(self.live)

        def work() -> None:
            torch.set_num_threads(1)
            all_live.wait(_BARRIER_S_MAX)
            _first_use(state.device)
            wrong.append(_climb_checked(state))

        threads = [threading.Thread(target=work) for _ in range(self.live)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        return self.live - len(wrong) + sum(wrong)

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Expect no wrong element: a sequential run would start the same threads."""
        return [[0 for _ in of_thread] for of_thread in inputs]


class ShortLivedThreads(Scenario):
    """Two hundred threads one after another take a stream each and end, half of them with their work still queued."""

    origin = ("Pool: Round Robin of dropbox/dML: 200 threads, each of which ends before the next one starts",)
    rows: ClassVar[tuple[int, ...]] = (9,)
    waves = ((1, 1),)

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(64).to(device)

    def step(self, state: torch.Tensor, x: None) -> dict[str, int]:
        left: list[tuple[torch.Tensor, float]] = []
        seen: list[int] = []

        def work(number: int) -> None:
            torch.set_num_threads(1)
            made = climb(float(number), state, rows=32, steps=3)
            seen.append(streams.current_stream_id(state.device))
            left.append((made, number + 3.0))
            if number % 2:
                count_wrong(*left[-1]).item()

        for number in range(200):
            thread = threading.Thread(target=work, args=(number,))
            thread.start()
            thread.join()
        streams.synchronize(state.device)
        return {
            "wrong": total(count_wrong(made, value) for made, value in left),
            "threads that took none": 200 - len(seen),
            # All on the default stream, as without a pool for threads, or none of them.
            "workers on the main thread's stream": seen.count(0) % 200,
        }

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[dict[str, int]]]:
        """Expect nothing wrong: a sequential run would start the same threads."""
        right = {"wrong": 0, "threads that took none": 0, "workers on the main thread's stream": 0}
        return [[right for _ in of_thread] for of_thread in inputs]


class ReleasedSlots(Scenario):
    """Round after round all threads give their stream back at the same moment and take another: never the same one."""

    origin = (
        "suite rows 8 and 9: torch.mps.release_current_thread_slot of dropbox/dML, and the counter behind round robin",
    )
    rows: ClassVar[tuple[int, ...]] = (8, 9)
    requires = ("per_thread_streams", "stream_ids", "release_slot")
    threads_min = 2
    threads_max = _WORKER_STREAMS
    iterations = 30

    def setup(self, device: torch.device) -> dict[str, Any]:
        barrier = threading.Barrier(self.threads)
        return {"shift": shift_matrix(16).to(device), "claims": _Claims(), "barrier": barrier}

    def step(self, state: dict[str, Any], x: None) -> int:
        device, claims, barrier = state["shift"].device, state["claims"], state["barrier"]
        wrong = _climb_checked(
            state["shift"]
        )  # which waits: what is queued stays on the stream that is given back
        claims.give_up()
        barrier.wait(_BARRIER_S_MAX)
        _release_slot(device)
        barrier.wait(_BARRIER_S_MAX)
        torch.empty(
            1, device=device
        )  # takes the stream without Python's lock, which asking for it would hold
        claims.claim(streams.current_stream_id(device))
        return wrong + _climb_checked(state["shift"])

    def finish(self, state: dict[str, Any]) -> dict[str, int]:
        counts: dict[str, int] = state["claims"].counts
        return counts

    def reference(
        self, device: torch.device, inputs: Sequence[Sequence[Any]]
    ) -> tuple[list[list[int]], list[dict[str, int]]]:
        """Expect no wrong element and no shared stream: one thread alone would wait for the others."""
        return [[0 for _ in of_thread] for of_thread in inputs], [_Claims().counts]


class ThreadExitWithWork(Scenario):
    """Threads end while their work is queued or running; all of it must be done after waiting for the device."""

    origin = ("suite row 8: a thread's stream and caches go when it ends, what it submitted must not",)
    rows: ClassVar[tuple[int, ...]] = (8, 9)

    @property
    def waves(self) -> Sequence[tuple[int, int]]:  # type: ignore[override]
        return ((self.threads, 1),) * 6

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(96).to(device), "results": []}

    def step(self, state: dict[str, Any], x: None) -> int:
        step = current()
        start = float(step.thread_index + step.wave)
        state["results"].append((climb(start, state["shift"], rows=64, steps=8), start + 8))
        return step.thread_index  # a number of the host's: reading a tensor would wait for the work

    def finish(self, state: dict[str, Any]) -> dict[str, int]:
        wrong = sum(int(count_wrong(got, value)) for got, value in state["results"])
        return {"results": len(state["results"]), "wrong elements": wrong}


def _first_use(device: torch.device) -> None:
    """Use the device for the first time in this thread, again and again while a pool has no stream left."""
    deadline_s = time.monotonic() + _REFUSED_S_MAX
    while True:
        try:
            torch.empty(1, device=device)
            return
        except RuntimeError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.0005)


def _climb_checked(shift: torch.Tensor) -> int:
    """Run a short chain on the calling thread's stream, wait for it, and return how many elements are wrong."""
    start = float(threading.get_ident() % 97)
    return int(count_wrong(climb(start, shift, rows=4, steps=3), start + 3))


def _release_slot(device: torch.device) -> None:
    module: Any = getattr(torch, device.type)
    module.release_current_thread_slot()
