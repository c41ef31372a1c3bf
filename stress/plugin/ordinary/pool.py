"""Threads that are started once and reused by all tests, and the bounded wait for them.

Starting and joining eight threads costs more than the 64 calls of a small test. The threads are daemons:
one that is stuck for good must not keep pytest from ending.
"""

from __future__ import annotations

import _thread
import sys
import threading
import traceback

from stress.plugin.ordinary.job import AT_BARRIER
from stress.plugin.ordinary.job import FINISHED
from stress.plugin.ordinary.job import IN_BODY
from stress.plugin.ordinary.job import Job

SWITCH_INTERVAL_S = 5e-5
"""How long a thread keeps the GIL while others want it; Python's default is 5e-3."""

STACK_LINES_MAX = 40


class Hang(Exception):
    """A job did not end within its deadline; the text holds the stacks of all threads."""


class Worker:
    """One thread of the pool: sleep on `wake`, do `job`, again."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.job: Job | None = None
        self.is_closing = False
        self.wake = _thread.allocate_lock()
        self.wake.acquire()
        self.thread = threading.Thread(target=self._work, name=f"mps-stress-{index}", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while not self.is_closing:
            self.wake.acquire()
            job, self.job = self.job, None
            if job is not None:
                job.run_lane(self.index)
            # Not kept until the next one: it holds the test's fixtures and tracebacks.
            del job


class Pool:
    """As many threads as the widest test so far needed."""

    def __init__(self) -> None:
        self._workers: list[Worker] = []

    @property
    def threads(self) -> list[threading.Thread]:
        return [worker.thread for worker in self._workers]

    def run(self, job: Job, deadline_s: float) -> None:
        """Run `job` to its end with a shorter switch interval.

        Raises `Hang` when it takes longer than `deadline_s`; the threads are then abandoned and
        the next job gets new ones. A thread that is stuck in native code with the GIL held stops this
        wait too: nothing inside the process can end that.
        """
        self._grow(job.threads)
        interval_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        try:
            for worker in self._workers[: job.threads]:
                worker.job = job
                worker.wake.release()
            if not job.done.acquire(timeout=deadline_s):
                raise Hang(_describe_hang(job, self._workers, deadline_s))
        except BaseException:
            # A hang, Ctrl-C or another plugin's timeout: either way threads may still be running.
            job.abandon()
            self.close()
            raise
        finally:
            sys.setswitchinterval(interval_s)

    def close(self) -> None:
        """Let the threads end once they have finished their work; do not wait for them."""
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.is_closing = True
            if worker.wake.locked():
                worker.wake.release()

    def _grow(self, count: int) -> None:
        while len(self._workers) < count:
            self._workers.append(Worker(len(self._workers)))


def _describe_hang(job: Job, workers: list[Worker], deadline_s: float) -> str:
    stuck = [lane for lane in job.lanes if lane.phase == IN_BODY]
    names = ", ".join(f"thread {lane.index} in iteration {lane.iteration}" for lane in stuck) or "no thread"
    lines = [f"HANG: not done after {deadline_s:g} s; threads in the body: {names}", ""]
    frames = sys._current_frames()
    crew = {worker.thread.ident: worker.index for worker in workers}
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or -1)
        index = crew.get(thread.ident)
        if frame is None or thread is threading.current_thread():
            continue
        if index is None or index >= job.threads:
            lines.append(f"{thread.name} (not of this test's crew):")
        else:
            lane = job.lanes[index]
            lines.append(f"thread {index}, iteration {lane.iteration}, {lane.phase}:")
            if lane.phase in (AT_BARRIER, FINISHED):
                continue
        lines += "".join(traceback.format_stack(frame)).splitlines()[-STACK_LINES_MAX:]
    return "\n".join(lines)
