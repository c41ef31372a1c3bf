"""The expectation for every judged value, derived from the sequential runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import torch

from stress.child import tensor_tree
from stress.child.oracle import tolerance
from stress.child.oracle.sequential import Run
from stress.child.workload import Raised
from stress.child.workload import StepResult
from stress.child.workload import Workload


@dataclass
class Expected:
    """All that is known about one judged value: the distinct sequential outcomes, and the exact one."""

    spec: str
    variants: list[list[torch.Tensor]] = field(default_factory=list)
    raised: list[Raised] = field(default_factory=list)
    exact: list[torch.Tensor] = field(default_factory=list)
    allowed: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    """Size of the values: the largest of this iteration, at least the median over the role's iterations."""
    half: list[bool] = field(default_factory=list)
    """Whether the output is of half precision; a digest of it is wider, but no more exact."""
    spread: list[float] = field(default_factory=list)
    """How far the sequential runs lie apart in this leaf, pooled over the iterations of the role, because one
    iteration can agree by chance: 0 where all agree bitwise, infinite where integers or shapes differ."""

    values: list[bool] = field(default_factory=list)
    """Whether the output is a text, bytes or None: equal or wrong, and not measured against double precision."""

    def is_value(self, place: int) -> bool:
        return place < len(self.values) and self.values[place]

    def to_data(self) -> dict[str, Any]:
        data = {
            name: getattr(self, name)
            for name in ("spec", "variants", "exact", "allowed", "scale", "half", "values", "spread")
        }
        return {**data, "raised": [asdict(one) for one in self.raised]}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Expected:
        return cls(**{**data, "raised": [Raised(**one) for one in data["raised"]]})


def same_run(left: Run, right: Run) -> bool:
    return all(same_outcome(a, b) for a, b in zip(left, right, strict=True))


def same_outcome(left: StepResult, right: StepResult) -> bool:
    return (
        left.raised == right.raised
        and len(left.leaves) == len(right.leaves)
        and all(map(tensor_tree.same_bits, left.leaves, right.leaves))
    )


def expectations(
    workload: Workload, runs: list[Run], cpu: Run, exact: Run, outputs: Run | None = None
) -> list[Expected]:
    """Reduce the runs to expectations; `outputs` are the whole outputs where the runs hold digests of them."""
    made = []
    for index in range(len(runs[0])):
        distinct: list[StepResult] = []
        for run in runs:
            if not any(same_outcome(run[index], known) for known in distinct):
                distinct.append(run[index])
        one = Expected(tensor_tree.describe(distinct[0].spec) if distinct[0].spec is not None else "")
        one.variants = [outcome.leaves for outcome in distinct if outcome.raised is None]
        one.raised = [outcome.raised for outcome in distinct if outcome.raised is not None]
        one.values = next((outcome.spec.values for outcome in distinct if outcome.spec is not None), [])
        whole = [run[index] for run in ([outputs] if outputs else runs) if run[index].raised is None]
        one.half = [tolerance.is_half(leaf.dtype) for leaf in (whole[0].leaves if whole else [])]
        if exact and exact[index].raised is None:
            one.exact = exact[index].leaves
        made.append(one)
    if exact:
        _set_allowed(workload, made, cpu)
    _pool_spreads(workload, made)
    return made


def _pool_spreads(workload: Workload, expectations: list[Expected]) -> None:
    pooled: dict[tuple[int, int], float] = {}
    for index, one in enumerate(expectations):
        for place, values in enumerate(zip(*one.variants, strict=False)):
            key = (role_of(workload, index), place)
            pooled[key] = max(pooled.get(key, 0.0), _spread(values))
    for index, one in enumerate(expectations):
        places = range(len(one.variants[0]) if one.variants else 0)
        one.spread = [pooled[role_of(workload, index), place] for place in places]


def _spread(values: Sequence[torch.Tensor]) -> float:
    """Return the largest distance between the values of one leaf; infinite where it means nothing."""
    first = values[0]
    if all(tensor_tree.same_bits(first, other) for other in values[1:]):
        return 0.0
    if any(other.shape != first.shape for other in values) or not tolerance.is_numeric(first.dtype):
        return float("inf")
    return max(tolerance.error_of(a, b) for a in values for b in values)


def role_of(workload: Workload, index: int) -> int:
    """Return the role of a slot; the arbiter is a separate role."""
    slots = workload.plan.slots
    return workload.role(slots[index]) if index < len(slots) else -1


def _set_allowed(workload: Workload, made: list[Expected], cpu: Run) -> None:
    """Allow `ERROR_FACTOR` times the CPU's own relative error, pooled over the iterations of a role.

    Relative to the size of this iteration's value, but never to less than the median size: a sum that
    happens to cancel to nearly nothing has a huge relative error and says nothing about the others.
    """
    by_leaf: dict[tuple[int, int], list[tuple[Expected, torch.Tensor, torch.Tensor]]] = {}
    for index, one in enumerate(made):
        # Where the device raises and the CPU does not, no value needs a tolerance.
        for place, (exact, narrow, _) in enumerate(zip(one.exact, cpu[index].leaves, one.half, strict=False)):
            by_leaf.setdefault((role_of(workload, index), place), []).append((one, exact, narrow))
    for (_, place), members in sorted(by_leaf.items()):
        sizes = tolerance.magnitudes([exact for _, exact, _ in members])
        typical = statistics.median(sizes)
        comparable = [(exact, narrow) for _, exact, narrow in members if exact.shape == narrow.shape]
        errors = iter(tolerance.errors_of([one for _, one in comparable], [one for one, _ in comparable]))
        relative = 0.0
        for (one, exact, narrow), size in zip(members, sizes, strict=True):
            scale = max(size, typical)
            one.scale.append(scale)
            error = next(errors) if exact.shape == narrow.shape else 0.0
            relative = max(relative, error / scale if scale else 0.0, tolerance.epsilon(narrow.dtype))
        for one, _, _ in members:
            factor = tolerance.ERROR_FACTOR_HALF if one.half[place] else tolerance.ERROR_FACTOR
            one.allowed.append(factor * relative * one.scale[place])
