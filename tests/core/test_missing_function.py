"""A function that this torch lacks is the scenario's fault, by name: never a race, and never an expected exception."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from stress.child.workload import Raised
from stress.child.workload import function_of_torch
from stress.scenario import memory as limits
from stress.scenario import streams
from tests.acceptance import Ran
from tests.acceptance import RunStress

PATCH = """
import torch

def older():
    del torch.accelerator.empty_cache
"""

LACKS = """
class AuthorsReference(Scenario):
    # Nothing has run the step before the threads do.
    iterations = 2
    def step(self, state, x):
        torch.accelerator.empty_cache()
        return 0
    def reference(self, device, inputs):
        return [[0 for _ in one] for one in inputs]

class OneRole(Scenario):
    # As in scenarios/memory.py: the other roles return, so that not all of the sequential run raises.
    iterations = 2
    def steps(self):
        return (self.empty, self.step)
    def empty(self, state, x):
        torch.accelerator.empty_cache()
        return 0
    def step(self, state, x):
        return 0

class Finish(Scenario):
    iterations = 2
    def step(self, state, x):
        return 0
    def finish(self, state):
        torch.accelerator.empty_cache()
        return 0
    def reference(self, device, inputs):
        return [[0 for _ in one] for one in inputs], [0]

class OwnThread(Scenario):
    iterations = 2
    def step(self, state, x):
        one = threading.Thread(target=lambda: torch.accelerator.empty_cache())
        one.start()
        one.join()
        return torch.ones(1) * stress.current().thread_index

class MainStep(Scenario):
    iterations = 2
    def step(self, state, x):
        return 0
    def main_step(self, state):
        torch.accelerator.empty_cache()
    def reference(self, device, inputs):
        return [[0 for _ in one] for one in inputs]

class Program(ProcessScenario):
    def body(self, device):
        torch.accelerator.empty_cache()
"""

RACES = """
class TakenAway(Scenario):
    # One thread takes a function of torch away for a moment, as a patch does, and another calls it then.
    iterations = 1
    def setup(self, device):
        return threading.Barrier(self.threads)
    def steps(self):
        return (self.patch, self.call)
    def patch(self, barrier, x):
        own = torch.accelerator.empty_host_cache = len
        barrier.wait()
        del torch.accelerator.empty_host_cache
        barrier.wait()
        barrier.wait()
        torch.accelerator.empty_host_cache = own
        return 0
    def call(self, barrier, x):
        barrier.wait()
        barrier.wait()
        try:
            return torch.accelerator.empty_host_cache("")
        finally:
            barrier.wait()
    def reference(self, device, inputs):
        return [[0 for _ in one] for one in inputs]

class Lost(Scenario):
    # In a thread of the crew only: the sequential run, which is asked too, did not lack it.
    iterations = 2
    exempt = {"no device work": "only the name is looked up", "equal outputs": "it is a name"}
    def setup(self, device):
        torch.accelerator.of_mine = len
    def step(self, state, x):
        if threading.current_thread() is not threading.main_thread():
            vars(torch.accelerator).pop("of_mine", None)
        return torch.accelerator.of_mine("")

class OfTheState(Scenario):
    iterations = 1
    def setup(self, device):
        return torch.nn.Linear(2, 2)
    def step(self, state, x):
        return state.cache
    def reference(self, device, inputs):
        return [[0 for _ in one] for one in inputs]
"""


@pytest.fixture(name="older")
def _older(run_stress: RunStress, pytester: pytest.Pytester) -> Callable[[str], Ran]:
    def run(source: str) -> Ran:
        pytester.makepyfile(mypkg=PATCH)
        return run_stress(
            source, "--mps-threads=2", "--mps-attempts=1", "--mps-perturb=off", "--mps-operator=mypkg:older"
        )

    return run


def test_what_this_torch_lacks_is_broken_with_its_name(older: Callable[[str], Ran]) -> None:
    ran = older(LACKS)
    verdicts = {name.partition("[")[0]: one["verdict"] for name, one in ran.items.items()}
    assert verdicts == dict.fromkeys(
        ["AuthorsReference", "OneRole", "Finish", "OwnThread", "MainStep", "Program"], "broken"
    )
    for one in ran.items.values():
        assert f"this torch ({torch.__version__}) has no torch.accelerator.empty_cache" in one["headline"]


def test_what_a_thread_took_away_is_still_a_race(older: Callable[[str], Ran]) -> None:
    ran = older(RACES)
    verdicts = {name.partition("[")[0]: one["verdict"] for name, one in ran.items.items()}
    assert verdicts == dict.fromkeys(["TakenAway", "Lost", "OfTheState"], "race")


def _asked_of(owner: object) -> AttributeError:
    with pytest.raises(AttributeError) as caught:
        getattr(owner, "no_such")  # noqa: B009
    return caught.value


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (torch.accelerator, "torch.accelerator.no_such"),
        (torch, "torch.no_such"),
        (torch.Tensor, "torch.Tensor.no_such"),
        (torch.ops.aten, "torch.ops.aten.no_such"),
        (torch.nn.functional, "torch.nn.functional.no_such"),
        (torch.zeros(1), ""),
        (torch.nn.Linear(1, 1), ""),
        (pytest, ""),
        (object, ""),
    ],
)
def test_only_modules_and_classes_of_torch_count(owner: object, name: str) -> None:
    assert function_of_torch(_asked_of(owner)) == name


def test_what_is_there_by_now_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    raised = Raised.of(_asked_of(torch.accelerator))
    assert raised.is_of_this_torch
    monkeypatch.setattr(torch.accelerator, "no_such", 0, raising=False)
    assert not raised.is_of_this_torch


@pytest.mark.parametrize(
    ("name", "call", "value"),
    [
        ("empty_cache", limits.empty_cache, None),
        ("synchronize", streams.synchronize, None),
        ("current_stream", streams.current_stream, "own"),
        ("current_allocated_memory", limits.allocated_bytes, 7),
        ("driver_allocated_memory", limits.driver_bytes, 7),
    ],
)
def test_the_devices_own_function_needs_no_generic_one(
    monkeypatch: pytest.MonkeyPatch, name: str, call: Callable[[torch.device], object], value: object
) -> None:
    """Older builds of torch lack `torch.accelerator`, or some of its functions."""
    calls: list[str] = []

    def own() -> object:
        calls.append(name)
        return value

    monkeypatch.setattr(torch.mps, name, own, raising=False)
    monkeypatch.delattr(torch, "accelerator")
    assert call(torch.device("mps")) == value
    assert calls == [name]
