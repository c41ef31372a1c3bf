"""The control of a test that failed from threads: the same calls on one thread. What fails there too shows no race.

It runs after the threads, and only where they failed: before them it would warm the caches that they must find cold.
So it finds what they left behind, and a race may have broken state that stays. A call that fails otherwise than the
threads' is not taken for theirs, and the report names the command that tells in a fresh process.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from stress.model.text import count
from stress.plugin.ordinary.job import Body
from stress.plugin.ordinary.job import CallError
from stress.plugin.ordinary.job import Job
from stress.plugin.ordinary.judge import is_same_failure
from stress.plugin.ordinary.judge import is_skip
from stress.plugin.ordinary.judge import one_line
from stress.plugin.ordinary.pool import Hang
from stress.plugin.ordinary.pool import Pool
from stress.plugin.ordinary.selection import ThreadedPlan
from stress.scenario import current


@dataclass(frozen=True)
class OneThreadControl:
    """How the calls went on one thread."""

    calls: int
    """Calls that were to be made: as many as the threads made together."""
    failed: CallError | None = None
    """The first call that failed, with which the control ended; its `iteration` counts all calls."""
    is_hang: bool = False

    def fails_as(self, failure: CallError) -> bool:
        """Whether a call on one thread failed as the threads' call did: with the same error at the same place."""
        return self.failed is not None and is_same_failure(self.failed.error, failure.error)

    def sentence(self, failure: CallError, nodeid: str, deadline_s: float) -> str:
        """Return what to make of `failure`, a call that failed from threads."""
        calls = count(self.calls, "call")
        if self.is_hang:
            return f"control: one thread did not get through the same {calls} in {deadline_s:g} s"
        if self.failed is None:
            return f"control: one thread, same {calls}: 0 failed"
        where = f"call {self.failed.iteration + 1} of {self.calls}"
        if not self.fails_as(failure):
            return (
                f"control: on one thread, {where} fails otherwise: {one_line(self.failed.error)}. The threads may "
                "have left broken state behind"
            )
        return (
            f"control: on one thread, {where} fails with the same error, so no race is shown. The threads ran first: "
            "if they may have left broken state behind, try one thread in a fresh process: "
            f"pytest '{nodeid}' --mps-all-tests --mps-threads=1 --mps-iterations={self.calls}"
        )


def run_control(
    bodies: Sequence[Body], plan: ThreadedPlan, pool: Pool, deadline_s: float
) -> OneThreadControl:
    """Make all calls of all threads on one thread, one round of the threads after the other, up to a failure."""
    numbers = itertools.count()
    ended = threading.Event()

    def call() -> object:
        number = next(numbers)
        if ended.is_set():
            return None
        step = current.current()
        step.thread_index, step.iteration = number % plan.threads, number // plan.threads
        step.thread_count = plan.threads
        try:
            bodies[step.thread_index]()
        except BaseException as error:
            if not is_skip(error):
                ended.set()
                raise
        return None

    calls = plan.threads * plan.iterations
    job = Job([call], calls)
    excepthook = threading.excepthook
    threading.excepthook = lambda _: None  # the threads of the body have had their say
    try:
        pool.run(job, deadline_s)
    except Hang:
        return OneThreadControl(calls, is_hang=True)
    finally:
        threading.excepthook = excepthook
    (lane,) = job.lanes
    if lane.errors and isinstance(lane.errors[0].error, pytest.exit.Exception):
        raise lane.errors[0].error
    return OneThreadControl(calls, failed=lane.errors[0] if lane.errors else None)
