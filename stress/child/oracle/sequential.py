"""The sequential runs: every slot of the plan on one thread, in a given order, on fresh states."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import torch

from stress.child import tensor_tree
from stress.child.shared_writes import SharedWrites
from stress.child.workload import StepResult
from stress.child.workload import Workload
from stress.child.workload import exact_workload
from stress.child.workload import fresh_copy
from stress.child.workload import make_exact
from stress.child.workload import moved
from stress.model import seeds
from stress.scenario import current
from stress.scenario.scenario import overrides

Run = list[StepResult]
"""One outcome per slot, then the arbiter's; leaves on the CPU."""


def run_sequence(
    workload: Workload,
    device: torch.device,
    inputs: Sequence[Any],
    order: str,
    *,
    exact: bool = False,
    synchronize: Callable[[], None] | None = None,
    watch: SharedWrites | None = None,
) -> Run:
    """Run all slots one after another in one sequential order on fresh states; read every output back at once.

    `watch` looks at what all threads share before and after steps.
    """
    states = workload.make_states(device)
    if exact:
        make_exact(states)
        workload = exact_workload(workload)
    with _default_dtype(torch.float64 if exact else torch.get_default_dtype()):
        outcomes = _run_slots(workload, device, states, inputs, order, watch)
        if synchronize is not None:
            synchronize()
        return outcomes + [read_back(one) for one in workload.finish(states)]


def _run_slots(
    workload: Workload,
    device: torch.device,
    states: list[Any],
    inputs: Sequence[Any],
    order: str,
    watch: SharedWrites | None,
) -> Run:
    outcomes: list[StepResult | None] = [None] * len(workload.plan.slots)
    has_main_step = overrides(workload.scenario, "main_step")
    for turn, index in enumerate(workload.plan.order(order, seeds.derive(workload.seed, order))):
        slot = workload.plan.slots[index]
        if has_main_step and turn % workload.plan.threads_max == 0:
            with watch.around_main_step(states) if watch is not None else contextlib.nullcontext():
                workload.scenario.main_step(workload.finish_argument(states))
        x = fresh_copy(moved(inputs[index], device))
        if watch is not None:
            watch.before(slot, states)
        current.enter(current.Step(slot.thread, slot.iteration, slot.wave, workload.plan.waves[slot.wave][0]))
        try:
            outcome = workload.run(states, slot, x)
        finally:
            current.leave()
        if watch is not None:
            watch.after(slot, states)
        outcomes[index] = read_back(outcome)
    return [one for one in outcomes if one is not None]


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make `dtype` what a step's `torch.zeros(n)` is; only after `setup`, which must draw the same numbers."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def read_back(outcome: StepResult) -> StepResult:
    """Copy the leaves to the CPU; they share memory with nothing afterwards."""
    outcome.homes = outcome.homes or [leaf.device.type for leaf in outcome.leaves]
    outcome.leaves = [leaf.detach().to("cpu", copy=True) for leaf in outcome.leaves]
    return outcome


def run_author_reference(
    workload: Workload, device: torch.device, inputs: Sequence[Any], *, exact: bool = False
) -> Run:
    """Call the scenario's own `reference` and put its values into the order of the slots.

    Generators are seeded as before `setup`, so that a reference that calls it gets the crew's state.
    """
    scenario = exact_workload(workload).scenario if exact else workload.scenario
    by_worker: list[list[Any]] = [[] for _ in range(workload.plan.workers)]
    for slot, x in zip(workload.plan.slots, inputs, strict=True):
        by_worker[slot.worker].append(moved(x, device))
    seeds.seed_generators(seeds.derive(workload.seed, "setup", 0, 0))
    value = scenario.reference(device, by_worker)
    outputs, finished = value if overrides(scenario, "finish") else (value, [])
    made = [outputs[slot.worker][slot.iteration] for slot in workload.plan.slots] + list(finished)
    return [read_back(StepResult(*tensor_tree.flatten(one, "reference"))) for one in made]
