"""Run one test from N threads, and keep everything the threads leave behind."""

from __future__ import annotations

import _thread
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from stress.child.perturb import Perturbation
from stress.plugin.ordinary.barrier import Barrier
from stress.scenario import current

if TYPE_CHECKING:
    from stress.model.blackbox import BlackBox
    from stress.model.blackbox import Writer

Body = Callable[[], object]
"""One call of the test function, without arguments; `context.current()` has the iteration."""

STARTING = "starting"
AT_BARRIER = "waiting for the other threads"
IN_BODY = "in the body"
FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class CallError:
    """The exception of one call of the body."""

    thread: int
    iteration: int
    error: BaseException


@dataclass(slots=True)
class ThreadShare:
    """One thread's share of a job. Only that thread writes it while the job runs."""

    index: int
    errors: list[CallError] = field(default_factory=list)
    returned: list[tuple[int, object]] = field(default_factory=list)
    """(iteration, value) of the calls that returned something: tests return None."""
    spans_ns: list[tuple[int, int]] = field(default_factory=list)
    """Begin and end of each call that ended."""
    phase: str = STARTING
    iteration: int = 0
    died_of: BaseException | None = None
    """What ended the thread's loop from outside a call, an asynchronous exception for example."""


class Job:
    """Call one body per thread `iterations` times, all threads starting each call together."""

    def __init__(
        self,
        bodies: Sequence[Body],
        iterations: int,
        perturb: Callable[[int], Perturbation] | None = None,
        calm: frozenset[int] = frozenset(),
        box: BlackBox | None = None,
    ) -> None:
        """Take one body per thread; `perturb` makes a thread's perturbation, silent in the `calm` iterations.

        Threads stamp what they do into `box`, where there is one.
        """
        self.threads = len(bodies)
        self.iterations = iterations
        self.lanes = [ThreadShare(index) for index in range(self.threads)]
        self.perturbations: list[Perturbation] = []
        self.done = _thread.allocate_lock()
        self.done.acquire()
        self._bodies = bodies
        self._perturb = perturb
        self._calm = calm
        self._barrier = Barrier(self.threads)
        self._writers: list[Writer] = []
        self._phase_barrier = self._phase_step = 0
        if box is not None:
            from stress.model.blackbox import PHASES  # which most runs of pytest do not need

            self._writers = [box.writer(index) for index in range(self.threads)]
            self._phase_barrier, self._phase_step = PHASES.index("barrier"), PHASES.index("step")
        self._mutex = _thread.allocate_lock()
        self._running = self.threads

    def run_lane(self, index: int) -> None:
        """Do one thread's share, in that thread. Never raises: whatever happens is kept in the lane."""
        lane = self.lanes[index]
        try:
            if self._perturb is None:
                self._loop(lane, None)
            else:
                with self._perturb(index) as perturbation:
                    self._loop(lane, perturbation)
                self.perturbations.append(perturbation)
        except BaseException as error:
            lane.died_of = error
        finally:
            current.leave()
            lane.phase = FINISHED
            if self._writers:
                self._writers[index].status("finished")
            self._barrier.leave()
            with self._mutex:
                self._running -= 1
                is_last = self._running == 0
            if is_last:
                self.done.release()

    def _loop(self, lane: ThreadShare, perturbation: Perturbation | None) -> None:
        index = lane.index
        body = self._bodies[index]
        step = current.Step(index, thread_count=self.threads)
        current.enter(step)
        writer = self._writers[index] if self._writers else None
        if writer is not None:
            writer.status("running")
        now_ns = time.perf_counter_ns
        was_calm = False
        for iteration in range(self.iterations):
            lane.iteration = step.iteration = iteration
            lane.phase = AT_BARRIER
            if writer is not None:
                writer.iteration(0, iteration)
                writer.phase(self._phase_barrier)
            if perturbation is not None and (iteration in self._calm) != was_calm:
                was_calm = not was_calm
                perturbation.pause() if was_calm else perturbation.resume()
            if not self._barrier.wait(index):
                return
            lane.phase = IN_BODY
            if writer is not None:
                writer.phase(self._phase_step)
            begin_ns = now_ns()
            try:
                value = body()
            # Everything, KeyboardInterrupt and SystemExit too: in a thread they end nothing but the
            # thread, silently, and the test would pass.
            except BaseException as error:
                lane.spans_ns.append((begin_ns, now_ns()))
                lane.errors.append(CallError(index, iteration, error))
            else:
                lane.spans_ns.append((begin_ns, now_ns()))
                if value is not None:
                    lane.returned.append((iteration, value))

    def abandon(self) -> None:
        """Tell threads that wait or come back later to stop."""
        self._barrier.abort()

    @property
    def calls(self) -> int:
        """Calls of the body that ended, one way or another."""
        return sum(len(lane.spans_ns) for lane in self.lanes)

    def overlap(self) -> float:
        """Return the share of calls during which another thread's body was running too."""
        spans = sorted(span for lane in self.lanes for span in lane.spans_ns)
        overlapped = 0
        # A thread's own calls follow one another, so spans that overlap are of different threads.
        latest_ns = 0
        next_begins_ns = [begin_ns for begin_ns, _ in spans[1:]] + [2**63]
        for (begin_ns, end_ns), next_ns in zip(spans, next_begins_ns, strict=False):
            overlapped += begin_ns < latest_ns or next_ns < end_ns
            if end_ns > latest_ns:
                latest_ns = end_ns
        return overlapped / len(spans) if spans else 0.0
