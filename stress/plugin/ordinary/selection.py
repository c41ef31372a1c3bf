"""Select the ordinary tests that run from threads, and say why the others do not."""

from __future__ import annotations

import inspect
import unittest
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from stress.plugin.settings import Settings

ITERATIONS_DEFAULT = 8
MARKER = "mps_stress"

_USAGE = "@pytest.mark.mps_stress(threads=8, iterations=10), both optional whole numbers of at least 1"


@dataclass(frozen=True)
class ThreadedPlan:
    """The number of threads and iterations of one test."""

    threads: int
    iterations: int


def plan(item: pytest.Function, settings: Settings | None) -> ThreadedPlan | None:
    """Return how `item` is to run; None if it was not asked to run from threads.

    A marker with `threads` always counts. One without takes the largest of `--mps-threads` (a test runs
    once, not once per count), and means nothing without that option.
    Raises `pytest.UsageError` for a marker that makes no sense.
    """
    marker = item.get_closest_marker(MARKER)
    threads, iterations = arguments(item, marker) if marker is not None else (None, None)
    if threads is None and settings is not None and (marker is not None or settings.all_tests):
        threads = max(settings.threads)
    if threads is None:
        return None
    return ThreadedPlan(threads, iterations or (settings and settings.iterations) or ITERATIONS_DEFAULT)


def arguments(item: pytest.Function, marker: pytest.Mark) -> tuple[int | None, int | None]:
    """Return threads and iterations of the marker, each None where it has none; raise `pytest.UsageError`."""
    signature = inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
            for name in ("threads", "iterations")
        ]
    )
    try:
        values = signature.bind(*marker.args, **marker.kwargs).arguments
    except TypeError as error:
        raise pytest.UsageError(f"{item.nodeid}: mps_stress: {error}; write {_USAGE}") from None
    for name, value in values.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise pytest.UsageError(f"{item.nodeid}: mps_stress: {name}={value!r}; write {_USAGE}")
    return values.get("threads"), values.get("iterations")


def why_not(item: pytest.Function) -> str | None:
    """Return why a test that should run from threads cannot; None when it can."""
    function = item.obj
    if getattr(function, "is_hypothesis_test", False):
        return "Hypothesis calls the body itself"
    if isinstance(item.instance, unittest.IsolatedAsyncioTestCase):
        return "an asyncio test case runs its own event loop"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "async function"
    if hasattr(function, "patchings"):
        return "unittest.mock.patch changes the whole process"
    if any(getattr(thing, "__unittest_skip__", False) for thing in (function, item.cls)):
        return "skipped by unittest"
    if any(getattr(thing, "__unittest_expecting_failure__", False) for thing in (function, item.cls)):
        return "unittest.expectedFailure"
    if not _has_known_runtest(item):
        return f"{type(item).__name__} runs its tests itself"
    if _is_marked_unsafe(item):
        return "marked thread_unsafe"
    if item.config.getoption("trace", False):
        return "--trace follows one thread only"
    return None


def _has_known_runtest(item: pytest.Function) -> bool:
    """Whether `runtest` is pytest's own: another plugin's item (asyncio, qt, ...) is left to that plugin."""
    if type(item).runtest is pytest.Function.runtest:
        return True
    return isinstance(item.instance, unittest.TestCase) and type(item).__module__ == "_pytest.unittest"


# Markers of pytest-run-parallel that give a count.
_RUN_PARALLEL_COUNTS = ("parallel_threads", "force_parallel_threads", "parallel_threads_limit", "iterations")


def _is_marked_unsafe(item: pytest.Item) -> bool:
    """Whether the suite already marks the test as thread-unsafe, in pytest-run-parallel's terms."""
    return any(
        marker.name == "thread_unsafe"
        or (marker.name in _RUN_PARALLEL_COUNTS[:3] and marker.args[:1] == (1,))
        for marker in item.iter_markers()
    )


def check_run_parallel(item: pytest.Item) -> None:
    """Refuse a test that pytest-run-parallel would run from threads too: 8 x 8 threads test nothing."""
    config = item.config
    if not config.pluginmanager.hasplugin("run-parallel"):
        return
    reasons = [name for name in _RUN_PARALLEL_COUNTS if item.get_closest_marker(name)]
    for option, dest in (("--parallel-threads", "parallel_threads"), ("--iterations", "iterations")):
        if str(config.getoption(dest, 1)) != "1":
            reasons.append(option)
    if reasons:
        raise pytest.UsageError(
            f"{item.nodeid}: both mps-stress and pytest-run-parallel ({', '.join(reasons)}) would run this "
            "test from threads: leave one of them out, or add -p no:run-parallel"
        )


def tally(reasons: Iterable[str]) -> str:
    """Return "hypothesis (2), async function" for a list of reasons, the most frequent first."""
    counts = Counter(reasons).most_common()
    return ", ".join(f"{reason} ({count})" if count > 1 else reason for reason, count in counts)
