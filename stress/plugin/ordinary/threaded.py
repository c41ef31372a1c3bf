"""Run one ordinary test from N threads, in this process, and judge it.

Not isolated: a crash ends pytest (the journal names the test; `-n1` keeps the session alive), and a thread
that hangs in native code with the GIL held hangs pytest too. A hang in Python, or in native code that let the
GIL go, is caught at the deadline.
"""

from __future__ import annotations

import functools
import threading
import time
import unittest
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

import pytest

from stress.child.perturb import Perturbation
from stress.child.perturb import TraceScope
from stress.child.perturb.schedule import Draws
from stress.model.seeds import derive
from stress.plugin.ordinary import fixtures
from stress.plugin.ordinary.checked_order import checked_test
from stress.plugin.ordinary.control import run_control
from stress.plugin.ordinary.job import Body
from stress.plugin.ordinary.job import Job
from stress.plugin.ordinary.judge import Leftovers
from stress.plugin.ordinary.judge import ThreadedOutcome
from stress.plugin.ordinary.judge import as_skip
from stress.plugin.ordinary.judge import hide_unless_alone
from stress.plugin.ordinary.judge import judge
from stress.plugin.ordinary.pool import Hang
from stress.plugin.ordinary.pool import Pool
from stress.plugin.ordinary.selection import ThreadedPlan
from stress.scenario import current

if TYPE_CHECKING:
    from stress.model.blackbox import BlackBox

LINGER_S_MAX = 1.0
"""How long threads that the body started may take to end after the last call, in total."""

PROPERTY_CALLS = "mps_calls"
PROPERTY_OVERLAP = "mps_overlap"
"""User properties of each threaded test: calls of its body, and the share that overlapped with another thread's."""

PERTURB_MODE = "line"

PERTURBED_EVERY = 8
"""Every how many of the iterations after the first one is perturbed; at least one is.

Perturbation hides races too, and a perturbed iteration of a small body costs as much as four others: with
every iteration perturbed a call cost 1.2 times pytest-run-parallel's.
"""


@dataclass
class Threaded:
    """The plugin's state of one item that runs from threads."""

    plan: ThreadedPlan
    instances: list[object] = field(default_factory=list)
    judgement: ThreadedOutcome | None = None
    not_perturbed: str = ""
    """Why no thread was perturbed although perturbation was on."""


@dataclass(frozen=True)
class Conditions:
    """The conditions that are the same for every test of the session."""

    deadline_s: float
    seed: int
    perturb: str
    modules: tuple[str, ...]
    folders: tuple[str, ...]
    """Folders of the user's own code; the test's own is always one."""
    is_judged_elsewhere: bool = False
    """The process was made for this: its parent owns the deadline, and runs the one-thread control in another one."""
    box: BlackBox | None = None
    """Where threads leave what they do, for the parent to read when the process has died."""
    order: str = ""
    """Level at which the order of accesses to tensors is checked; empty for not at all."""
    order_suppressions: Collection[str] = ()
    """Patterns of its findings that are known."""


def run_function(item: pytest.Function, state: Threaded, pool: Pool, conditions: Conditions) -> None:
    """Run a plain test function or method; raise what the threads' calls amount to."""
    __tracebackhide__ = hide_unless_alone
    bodies = [_body(item, state, index) for index in range(state.plan.threads)]
    _run(item, state, bodies, pool, conditions)


def _body(item: pytest.Function, state: Threaded, index: int) -> Body:
    function = _function(item, state, index)
    arguments = fixtures.arguments(item, index)
    request = arguments.get("request")
    if isinstance(request, pytest.FixtureRequest):
        arguments["request"] = fixtures.for_thread(request, index)
    call = functools.partial(function, **arguments)
    if "iteration_index" in arguments:
        return lambda: call(iteration_index=current.current().iteration)
    return call


def _function(item: pytest.Function, state: Threaded, index: int) -> Callable[..., object]:
    instance = state.instances[index]
    if instance is None or index == 0:
        own: Callable[..., object] = item.obj
        return own
    method: Callable[..., object] = getattr(instance, item.originalname)
    return method


def run_unittest(item: pytest.Function, state: Threaded, pool: Pool, conditions: Conditions) -> None:
    """Run a `unittest.TestCase` method: `setUp` and `tearDown` once per thread, in the main thread."""
    __tracebackhide__ = hide_unless_alone
    cases = [case for case in state.instances if isinstance(case, unittest.TestCase)]
    ready: list[unittest.TestCase] = []
    try:
        for case in cases:
            ready.append(case)
            case.setUp()
    except BaseException as error:
        # unittest's rule: no tearDown for the one whose setUp failed, but its clean-ups run.
        _tear_down(ready[:-1])
        ready[-1].doCleanups()
        raise as_skip(error) from error.__cause__
    bodies: list[Body] = [_with_locals(case, getattr(case, item.originalname)) for case in cases]
    try:
        _run(item, state, bodies, pool, conditions)
    finally:
        _tear_down(ready)


def _with_locals(case: unittest.TestCase, body: Body) -> Body:
    """Return the body with what the main thread holds in thread-local attributes of the class: it made them, and ran `setUp`.

    Torch's device tests keep their tolerances so.
    """
    found = [
        one for cls in type(case).__mro__ for one in vars(cls).values() if isinstance(one, threading.local)
    ]
    held = [(one, dict(vars(one))) for one in found]
    if not any(values for _, values in held):
        return body

    def call() -> object:
        for one, values in held:
            vars(one).update(values)
        return body()

    return call


def _tear_down(cases: list[unittest.TestCase]) -> None:
    """Tear all down, last first; raise the first error after that."""
    errors: list[BaseException] = []
    for case in reversed(cases):
        for action in (case.tearDown, case.doCleanups):
            try:
                action()
            except Exception as error:
                errors.append(error)
    if errors:
        raise errors[0]


def _run(
    item: pytest.Function, state: Threaded, bodies: list[Body], pool: Pool, conditions: Conditions
) -> None:
    __tracebackhide__ = hide_unless_alone
    seed = derive(conditions.seed, "ordinary", item.nodeid)
    check = checked_test(conditions.order if state.plan.threads > 1 else "", conditions.order_suppressions)
    job = Job(
        check.bodies(bodies),
        state.plan.iterations,
        _perturbations(item, conditions, seed),
        _calm(state.plan, seed),
        conditions.box,
    )
    before = set(threading.enumerate())
    try:
        with _thread_errors(before) as errors, check:
            pool.run(job, conditions.deadline_s)
            running = _lingering(before | set(pool.threads))
    except Hang as hang:
        text = str(hang)
        state.judgement = ThreadedOutcome(
            pytest.fail.Exception(text, pytrace=False), text.splitlines()[0], text
        )
    else:
        state.not_perturbed = next((p.blocked for p in job.perturbations if p.blocked), "")
        overlap = job.overlap()
        if job.threads > 1:
            item.user_properties += [(PROPERTY_CALLS, job.calls), (PROPERTY_OVERLAP, round(overlap, 3))]
        lines = [_conditions_line(job, conditions, overlap)]
        outcome = judge(
            job, Leftovers(errors, running, check.unordered), nodeid=item.nodeid, context_lines=lines
        )
        controls = not conditions.is_judged_elsewhere and state.plan.threads > 1
        if outcome.failure is not None and controls and not item.get_closest_marker("xfail"):
            control = run_control(bodies, state.plan, pool, conditions.deadline_s)
            sentence = control.sentence(outcome.failure, item.nodeid, conditions.deadline_s)
            outcome = outcome.with_control(sentence, is_same=control.fails_as(outcome.failure))
        state.judgement = outcome
    if state.judgement.error is not None:
        raise state.judgement.error


def _calm(plan: ThreadedPlan, seed: int) -> frozenset[int]:
    """Choose the iterations without perturbation: never the first, when state is cold, and most others."""
    later = list(range(1, plan.iterations))
    draws = Draws("calm", seed)
    for _ in range(-(-len(later) // PERTURBED_EVERY)):
        later.pop(int(draws.next() * len(later)))
    return frozenset(later)


def _perturbations(
    item: pytest.Function, conditions: Conditions, seed: int
) -> Callable[[int], Perturbation] | None:
    if conditions.perturb == "off":
        return None
    scope = TraceScope((str(item.path.parent), *conditions.folders), conditions.modules)
    return lambda index: Perturbation(
        PERTURB_MODE, conditions.perturb, seed=seed, thread_index=index, scope=scope
    )


def _conditions_line(job: Job, conditions: Conditions, overlap: float) -> str:
    blocked = next((p.blocked for p in job.perturbations if p.blocked), None)
    if conditions.perturb == "off":
        perturbation = "off"
    elif blocked is not None:
        perturbation = f"none, {blocked}"
    else:
        perturbation = f"{conditions.perturb}, at {PERTURB_MODE} boundaries"
    return (
        f"{job.threads} threads x {job.iterations} iterations, seed {conditions.seed:#x}, perturbation: "
        f"{perturbation}; {overlap:.0%} of the calls overlapped with another thread's"
    )


@contextmanager
def _thread_errors(before: set[threading.Thread]) -> Iterator[list[threading.ExceptHookArgs]]:
    """Collect errors that end threads started in the meantime; errors of older threads are handled as before."""
    errors: list[threading.ExceptHookArgs] = []
    previous = threading.excepthook

    def keep(args: threading.ExceptHookArgs, /) -> None:
        if args.thread in before:
            previous(args)
        else:
            errors.append(args)

    threading.excepthook = keep
    try:
        yield errors
    finally:
        threading.excepthook = previous


def _lingering(known: set[threading.Thread]) -> list[str]:
    """Return the names of new threads that do not end within `LINGER_S_MAX`."""
    new = [thread for thread in threading.enumerate() if thread not in known and not _is_foreign(thread)]
    end_s = time.monotonic() + LINGER_S_MAX
    for thread in new:
        thread.join(max(0.0, end_s - time.monotonic()))
    return [thread.name for thread in new if thread.is_alive()]


def _is_foreign(thread: threading.Thread) -> bool:
    """Whether Python did not start it: native libraries keep their own threads, which never end."""
    return isinstance(thread, threading._DummyThread)
