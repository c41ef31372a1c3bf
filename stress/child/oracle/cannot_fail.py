"""Scenarios that cannot fail: the sequential run shows that a wrong value of a thread would look right.

What this finds is no fault of the device, and no pass either: a scenario that uses the device nowhere, and one whose
right answer is the same everywhere, so that an answer of another thread, or one of an hour ago, is right as well.
Where a scenario is meant to look like that, it says so: with `exempt` and a reason, with functions of `stress.exact`,
which count wrong elements, or with its own `reference`, `compare` or `finish`, each of which says what is right.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from stress.child import leaf_values
from stress.child import tensor_tree
from stress.child.oracle.expectation import same_outcome
from stress.child.oracle.sequential import Run
from stress.child.perturb.dispatch_cache import Recorder
from stress.child.workload import StepResult
from stress.child.workload import Workload
from stress.model.finding import Finding
from stress.model.verdict import Verdict
from stress.scenario import current
from stress.scenario import exact
from stress.scenario.scenario import EQUAL_OUTPUTS
from stress.scenario.scenario import NO_DEVICE_WORK
from stress.scenario.scenario import overrides

_VALUE_CHARS_MAX = 40


class DeviceWork(Recorder):
    """Note the names of all operators, and whether one that a step ran has computed on the device.

    Views compute nothing. A copy to the CPU and a read of one number are not enough: they are how a result is fetched.
    Seen is only what this thread dispatches: neither threads that a step starts nor what a compiler has fused.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device_type = device.type
        self.is_seen = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operators.add(func)
        if self.is_seen or not current.is_running():  # nearly always
            return func(*args, **(kwargs or {}))
        result = None
        try:
            result = func(*args, **(kwargs or {}))
            return result
        finally:  # an operator that refuses its arguments has been asked, too
            if not getattr(func, "is_view", False):
                made = _tensors(result)
                if not made and func is not torch.ops.aten._local_scalar_dense.default:
                    made = _tensors((args, kwargs))
                self.is_seen = any(one.device.type == self.device_type for one in made)


def _tensors(value: Any) -> list[torch.Tensor]:
    return [one for one in pytree.tree_leaves(value) if isinstance(one, torch.Tensor)]


def why(workload: Workload, inputs: Sequence[Any], run: Run, work: DeviceWork) -> Finding | None:
    """Return why the scenario cannot fail, and what to change; None where it can, or where that is not known."""
    if overrides(workload.scenario, "reference") or any(one.raised for one in run):
        return None
    outcomes = run[: len(workload.plan.slots)]
    if not work.is_seen and not _may_have_worked(run, work.device_type):
        return _finding(
            workload,
            NO_DEVICE_WORK,
            f"no step ran an operator on the device ({work.device_type}), so nothing of it was tested: compute with the "
            "state and x where they are, and call .cpu() on results only",
        )
    author_decides = overrides(workload.scenario, "compare") or overrides(workload.scenario, "finish")
    if workload.plan.threads_max == 1 or author_decides or exact.calls:
        return None
    if not all(same_outcome(outcomes[0], one) for one in outcomes[1:]):
        return None
    value = _shown(outcomes[0])
    wrong = "so a value of another thread or iteration would look right"
    if all(_same_input(inputs[0], x) for x in inputs[1:]):
        text = (
            f"every step gets the same input and returns the same value ({value}), {wrong}: draw x from `generator` in "
            "make_input(), and compute with it"
        )
    else:
        text = f"step returns the same value for all inputs ({value}), {wrong}: return what depends on x"
    return _finding(workload, EQUAL_OUTPUTS, text)


def _shown(outcome: StepResult) -> str:
    leaf = outcome.leaves[0]
    text = f"{leaf_values.decode(leaf)!r}" if outcome.spec.values[0] else f"{leaf.flatten()[:3].tolist()}"
    return text[:_VALUE_CHARS_MAX]


def _finding(workload: Workload, name: str, text: str) -> Finding | None:
    if name in workload.scenario.exempt:
        return None
    return Finding(
        Verdict.INCONCLUSIVE, name, f'{text}. Is it meant so? Write exempt = {{"{name}": "the reason"}}'
    )


def _may_have_worked(run: Run, device_type: str) -> bool:
    """Whether outputs come from the device, or compiled code ran, which dispatches nothing."""
    if device_type != "cpu" and any(device_type in one.homes for one in run):
        return True
    dynamo = sys.modules.get("torch._dynamo.utils")
    return dynamo is not None and bool(dynamo.counters["frames"]["ok"])


def _same_input(left: Any, right: Any) -> bool:
    a, b = tensor_tree.leaves(left), tensor_tree.leaves(right)
    return len(a) == len(b) and all(map(_same_leaf, a, b))


def _same_leaf(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return tensor_tree.same_bits(left, right)
    try:
        return bool(left == right)
    except Exception:  # values that cannot be compared differ, as far as is known
        return False
