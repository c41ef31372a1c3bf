"""Jobs of a build: what waits for what, which comes first, and what an error ends."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from stress.device.core import jobs as build_jobs
from stress.device.core.jobs import Jobs

TIMEOUT_S = 60.0


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_jobs, "cpu_count", lambda: 1)


def noted(name: str, order: list[str]) -> Callable[[], None]:
    return lambda: order.append(name)


@pytest.mark.usefixtures("one_core")
def test_of_those_that_can_begin_the_least_priority_is_first() -> None:
    order: list[str] = []
    jobs = Jobs()
    jobs.add("linked", noted("linked", order), after=["long", "short"], priority=(0,))
    jobs.add("short", noted("short", order), priority=(1, -10))
    jobs.add("long", noted("long", order), after=["header"], priority=(1, -20))
    jobs.add("header", noted("header", order), priority=(0,))
    jobs.add("last", noted("last", order), priority=(2,))
    jobs.run()
    assert order == ["header", "long", "short", "linked", "last"]


def test_as_many_run_at_a_time_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_jobs, "cpu_count", lambda: 2)
    both = threading.Barrier(2)
    jobs = Jobs()
    for name in ("one", "other"):
        jobs.add(name, lambda: both.wait(TIMEOUT_S))  # Raises where the other does not run.
    jobs.run()
    assert not both.broken


@pytest.mark.usefixtures("one_core")
def test_after_an_error_no_other_job_begins() -> None:
    order: list[str] = []

    def fail() -> None:
        raise ValueError("does not compile")

    jobs = Jobs()
    jobs.add("fails", fail)
    jobs.add("waits", noted("waits", order), after=["fails"])
    jobs.add("next", noted("next", order), priority=(1,))
    with pytest.raises(ValueError, match="does not compile"):
        jobs.run()
    assert order == []


def test_those_that_run_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_jobs, "cpu_count", lambda: 2)
    order: list[str] = []
    begun, failed = threading.Event(), threading.Event()

    def run() -> None:
        begun.set()
        assert failed.wait(TIMEOUT_S)
        order.append("ended")

    def fail() -> None:
        assert begun.wait(TIMEOUT_S)
        failed.set()
        raise ValueError("does not compile")

    jobs = Jobs()
    jobs.add("runs", run)
    jobs.add("fails", fail)
    with pytest.raises(ValueError, match="does not compile"):
        jobs.run()
    assert order == ["ended"]
