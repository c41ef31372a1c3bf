"""A program: run upstream's tests from several processes at once, and from as many threads of one process.

    python -m tests.upstream.from_processes TREE TEST [TEST ...]

Prints how many of the processes, and of the threads, failed. What fails from threads alone is in what a process shares.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import sys
import threading
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stress.commands.upstream import suite_needs
from stress.device.sim import loading
from stress.device.sim.build import default_builder
from stress.device.sim.settings import SimSettings
from stress.model.spec import ChildSpec

AT_ONCE = 8
ROUNDS = 3
WAIT_S_MAX = 300.0
_FORK = multiprocessing.get_context("fork")


def case_of(tests: Any, name: str) -> unittest.TestCase:
    _, cls, method = name.split("::")
    case: unittest.TestCase = getattr(tests, cls)(method)
    return case


def fails(tests: Any, name: str, barrier: Any) -> bool:
    case, result = case_of(tests, name), unittest.TestResult()
    barrier.wait(WAIT_S_MAX)
    case.run(result)
    for _, text in [*result.failures, *result.errors]:
        print(text, file=sys.stderr)
    return not result.wasSuccessful()


def in_forks(works: list[Callable[[], int]]) -> list[int]:
    """Run each in a fork of this process, which has not used the device; return what they return."""

    def run(work: Callable[[], int]) -> None:
        loading.go_on_in_fork()
        os._exit(work())

    children = [_FORK.Process(target=run, args=(work,)) for work in works]
    for one in children:
        one.start()
    for one in children:
        one.join(WAIT_S_MAX)
    assert all(one.exitcode is not None and 0 <= one.exitcode <= AT_ONCE for one in children), children
    return [int(one.exitcode or 0) for one in children]


def from_processes(tests: Any, name: str) -> int:
    """Return how many of the processes failed, over all rounds."""
    failed = 0
    for _ in range(ROUNDS):
        barrier = _FORK.Barrier(AT_ONCE)

        def work(barrier: Any = barrier) -> int:
            return int(fails(tests, name, barrier))

        failed += sum(in_forks([work] * AT_ONCE))
    return failed


def from_threads(tests: Any, name: str) -> int:
    """Return how many of the threads failed, over all rounds, each in a process of its own."""

    def crew() -> int:
        barrier, failed = threading.Barrier(AT_ONCE), [False] * AT_ONCE

        def work(index: int) -> None:
            failed[index] = fails(tests, name, barrier)

        threads = [threading.Thread(target=work, args=(index,)) for index in range(AT_ONCE)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        return sum(failed)

    return sum(in_forks([crew])[0] for _ in range(ROUNDS))


def main() -> None:
    tree, *names = sys.argv[1:]
    sim = default_builder().ensure(print).spec(SimSettings())
    loading.prepare(ChildSpec("crew", sim=sim), sim)
    suite_needs.answer_questions()
    folder = Path(tree) / "test"
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    found = {}
    for name in names:
        tests = importlib.import_module(name.partition(".py::")[0])
        found[name] = {"processes": from_processes(tests, name), "threads": from_threads(tests, name)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
