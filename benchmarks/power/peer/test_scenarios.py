"""Scenarios as ordinary tests: an input, a step on the device, a step on the CPU, a comparison."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.power.peer.job import Case
from benchmarks.power.peer.job import Job
from stress.child import tensor_tree
from stress.child.workload import moved
from stress.model import seeds
from stress.scenario.current import Step
from stress.scenario.current import enter
from stress.scenario.current import leave
from stress.scenario.file import load_scenario
from stress.scenario.scenario import overrides


class Subject:
    """The state that the threads of one test share, on the device and on the CPU."""

    def __init__(self, case: Case, given: Job) -> None:
        self.compares, self._seed, self._threads = case.compares, given.seed, given.threads
        self._device = torch.device("cpu")
        if given.sim is not None:
            from stress.device.sim import loading

            self._device = loading.torch_device()
        name = "sim" if given.sim is not None else "cpu"
        self._own = load_scenario(case.ref, threads=given.threads, device_type=name)
        self._cpu = load_scenario(case.ref, threads=given.threads, device_type="cpu")
        states = given.threads if self._own.sharing == "per-thread" else 1
        self._states = [self._state(self._own, self._device, index) for index in range(states)]
        if given.sim is not None:
            # The state was made on the main thread's stream; a test whose threads do not wait for it is wrong.
            torch.accelerator.synchronize()
        cpu = torch.device("cpu")
        self._cpu_states = (
            [self._state(self._cpu, cpu, index) for index in range(states)] if self.compares else []
        )

    def _state(self, scenario: Any, device: torch.device, index: int) -> Any:
        seeds.seed_generators(seeds.derive(self._seed, "setup", index))
        return scenario.setup(device)

    def input(self, thread: int, iteration: int) -> Any:
        generator = torch.Generator().manual_seed(seeds.derive(self._seed, thread, iteration))
        return self._own.make_input(generator)

    def got(self, thread: int, iteration: int, x: Any) -> Any:
        value = self._run(self._own, self._states, thread, iteration, moved(x, self._device))
        return tensor_tree.map_tensors(lambda tensor: tensor.cpu(), value)

    def expected(self, thread: int, iteration: int, x: Any) -> Any:
        return self._run(self._cpu, self._cpu_states, thread, iteration, x)

    def _run(self, scenario: Any, states: list[Any], thread: int, iteration: int, x: Any) -> Any:
        roles = list(scenario.steps())
        enter(Step(thread, iteration, 0, self._threads))
        try:
            return roles[thread % len(roles)](states[thread % len(states)], x)
        finally:
            leave()

    def compare(self, got: Any, expected: Any) -> None:
        if overrides(self._own, "compare"):
            assert self._own.compare(got, expected) is True
        else:
            torch.testing.assert_close(got, expected, equal_nan=True)


@pytest.fixture
def subject(case: Case, peer_job: Job) -> Subject:
    return Subject(case, peer_job)


def test_scenario(subject: Subject, thread_index: int, iteration_index: int) -> None:
    x = subject.input(thread_index, iteration_index)
    got = subject.got(thread_index, iteration_index, x)
    if subject.compares:
        subject.compare(got, subject.expected(thread_index, iteration_index, x))
