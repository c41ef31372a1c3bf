"""New processes while threads work: a forked child must be refused the device, a spawned one computes; neither disturbs."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import psutil
import torch

from stress import Scenario
from stress import spawned_process
from stress.scenario.exact import climb
from stress.scenario.exact import count_wrong
from stress.scenario.exact import shift_matrix

_STARTED, _REFUSED, _COMPUTED, _BAD_ERROR = b"s", b"r", b"c", b"e"
_ANSWER_S_MAX = 20.0
_ASLEEP_S_MAX = 0.4
"""A child that was asleep at every look for this long waits for something that its process does not have.

Being refused takes no sleep at all, and a child that only lacks a core is runnable, not asleep.
"""
_LOOK_EVERY_S = 0.02
_PAUSE_S = 0.002
"""Between two rounds of those who work while a process starts, which takes seconds: they would take all cores."""
_OUTCOMES = {_REFUSED: "refused", _COMPUTED: "computed", _BAD_ERROR: "other error", b"": "no answer"}


class _Parent(Scenario):
    """One thread starts a process, and all others compute meanwhile."""

    threads_min = 2

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(96).to(device), "silent": 0, "is over": threading.Event()}


class ForkWhileActive(_Parent):
    """One thread forks while the others compute: the child is refused the device at once, with an error that says so."""

    origin = (
        "Fork: Active Threads and Fork: Parent Continues of dropbox/dML (test_fork_safety.py)",
        "pytorch#178037: the forked child hangs or dies in silence although the bad fork is known",
    )
    rows: ClassVar[tuple[int, ...]] = (22,)
    requires = ("accelerator",)
    iterations = 6

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.fork, *[self.work] * (self.threads - 1))

    def work(self, state: dict[str, Any], x: None) -> dict[str, int]:
        return {"wrong": _wrong_elements(state["shift"]), "children not refused": 0}

    def fork(self, state: dict[str, Any], x: None) -> dict[str, int]:
        worked = self.work(state, x)  # so that this thread, too, has used the device
        if state["silent"]:
            return {**worked, "children not refused": 1}  # a second one would cost the same time again
        outcome = _fork_and_use(state["shift"].device)
        state["silent"] += outcome == "no answer"
        return {**self.work(state, x), "children not refused": int(outcome != "refused")}

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[dict[str, int]]]:
        """Expect the right result whatever a sequential run gives: a device may accept a forked child there, too."""
        return [[{"wrong": 0, "children not refused": 0} for _ in of_thread] for of_thread in inputs]


class SpawnWhileActive(_Parent):
    """One thread spawns a process that computes on the device, while the others compute until it has answered."""

    origin = (
        "Fork: MP Spawn of dropbox/dML, which never spawned a child",
        "pytorch#87688: tensors of the device cannot cross processes, so that the child's answer is a number",
    )
    rows: ClassVar[tuple[int, ...]] = (22,)
    iterations = 1
    attempts_quick: ClassVar[int | None] = 0

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.spawn, *[self.work] * (self.threads - 1))

    def work(self, state: dict[str, Any], x: None) -> dict[str, int]:
        wrong = _wrong_elements(state["shift"])
        while not state["is over"].wait(_PAUSE_S):
            wrong += _wrong_elements(state["shift"])
        return {"wrong": wrong, "child's exit status": 0}

    def spawn(self, state: dict[str, Any], x: None) -> dict[str, int]:
        try:
            answer = spawned_process.compute(state["shift"].device)
        finally:
            state["is over"].set()
        return {"wrong": answer.wrong + _wrong_elements(state["shift"]), "child's exit status": answer.status}

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[dict[str, int]]]:
        """Expect the right result: one thread alone would wait for the end of a process that it has not started."""
        return [[{"wrong": 0, "child's exit status": 0} for _ in of_thread] for of_thread in inputs]


def _wrong_elements(shift: torch.Tensor) -> int:
    return sum(int(count_wrong(climb(1.0, shift, rows=48, steps=4), 5.0)) for _ in range(3))


def _fork_and_use(device: torch.device) -> str:
    """Fork; return what came of the child's attempt to compute on the device. The child never comes back."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _child(device, writer)
    os.close(writer)
    try:
        return _OUTCOMES[_answer(reader, pid)]
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _child(device: torch.device, writer: int) -> None:
    """Try to compute in a process that has only one of its parent's threads, and end it whatever happens."""
    answer = _BAD_ERROR
    try:
        os.write(writer, _STARTED)
        torch.ones(4, device=device).sum().item()
        answer = _COMPUTED
    except RuntimeError as error:
        answer = _REFUSED if "fork" in str(error) else _BAD_ERROR
    finally:
        os.write(writer, answer)
        os._exit(0)


def _answer(reader: int, pid: int) -> bytes:
    """Wait for the child's answer; b"" when it died, sleeps, or takes too long."""
    started_s = awake_s = time.monotonic()
    while time.monotonic() - started_s < _ANSWER_S_MAX:
        if select.select([reader], [], [], _LOOK_EVERY_S)[0]:
            said = os.read(reader, 1)
            if said != _STARTED:
                return said
        if psutil.Process(pid).status() != psutil.STATUS_SLEEPING:
            awake_s = time.monotonic()
        if time.monotonic() - awake_s > _ASLEEP_S_MAX:
            break
    return b""
