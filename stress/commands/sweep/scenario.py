"""One operator with one dtype as a scenario: all threads run its samples, each beginning with another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from stress import Scenario
from stress import current
from stress.child import tensor_tree
from stress.commands.sweep import op_db
from stress.model.errors import BrokenScenario

LEAVES = 6
"""Outputs of one call, at most; what is beyond goes into the last one. A judged value has one structure always."""
SAMPLES_MAX_OTHERS = 6
"""Samples of dtypes other than float32."""
FULL_DTYPE = "float32"

Leaf = torch.Tensor | int | float | bool | complex


class OperatorFromThreads(Scenario):
    """Every thread runs the samples of one operator of torch's own database."""

    origin = ("suite.md, row 29", "pytorch#167541: the first use of an operator from several threads")
    fresh_process = True
    op = ""
    dtype_name = FULL_DTYPE

    def __init__(self) -> None:
        self._entry: Any = None
        self._count = 0
        self._cpu: list[Any] | None = None

    @property
    def iterations(self) -> int:  # type: ignore[override]
        """Return how many samples there are: every thread runs each of them once."""
        if not self._count:
            self._count = len(self._samples())
        return self._count

    def _samples(self) -> list[Any]:
        """Return the samples on the CPU; raise `BrokenScenario` for an operator that has none."""
        try:
            self._entry = self._entry or op_db.entry(self.op)
        except LookupError as error:
            raise BrokenScenario(str(error)) from None
        limit = None if self.dtype_name == FULL_DTYPE else SAMPLES_MAX_OTHERS
        found = [
            op_db.arguments(one)
            for one in op_db.samples(self._entry, getattr(torch, self.dtype_name))
            if not op_db.has_dropout(one)
        ][:limit]
        if not found:
            raise BrokenScenario(f"{self.op} has no samples of {self.dtype_name}")
        return found

    def setup(self, device: torch.device) -> Callable[[int], Any]:
        """Return what gives a sample by its number.

        A function, whose tensors nobody looks for: a layout that the device does not have makes its state another one
        than the CPU's, and that is for the step to say.
        """
        if (
            self._cpu is None
        ):  # each setup draws from generators that are seeded alike, so that once is enough
            self._cpu = self._samples()
        samples = [_on_device(one, device) for one in self._cpu]
        return lambda index: samples[index]

    def step(self, state: Callable[[int], Any], x: None) -> list[Leaf]:
        index = (current().iteration + current().thread_index) % self.iterations
        sample = state(index)
        if isinstance(sample, Exception):
            raise sample
        first = next((one for one in tensor_tree.leaves(sample) if isinstance(one, torch.Tensor)), None)
        device = first.device if first is not None else "cpu"
        given = op_db.moved(sample, device)  # the samples are everybody's: some operators write to them
        value = self._entry(given[0], *given[1], **given[2])
        return [index, *_padded([_leaf(one) for one in tensor_tree.leaves(value)])]

    def compare(self, got: list[torch.Tensor], expected: list[torch.Tensor]) -> bool | str:
        index = int(expected[0])
        if int(got[0]) != index:
            return f"sample {index}: the result is that of sample {int(got[0])}"
        why_not = op_db.why_not_comparable(self._entry, op_db.NOT_COMPARABLE_FROM_THREADS)
        for place, (one, right) in enumerate(zip(got[1:], expected[1:], strict=True)):
            if (one.shape, one.dtype) != (right.shape, right.dtype):
                return (
                    f"sample {index}, output {place}: {one.dtype} {tuple(one.shape)}, expected {right.dtype} "
                    f"{tuple(right.shape)}"
                )
            if why_not or tensor_tree.same_bits(one, right):
                continue
            try:
                torch.testing.assert_close(one, right, equal_nan=True)
            except AssertionError as error:
                reason = " ".join(line.strip() for line in str(error).splitlines() if line.strip())
                return f"sample {index}, output {place}: {reason}"
        return True


def _on_device(sample: list[Any], device: torch.device) -> Any:
    """Return the sample on the device; the error where its layout or dtype cannot be there, for the step to raise."""
    try:
        return op_db.moved(sample, device)
    except (NotImplementedError, RuntimeError, TypeError) as error:
        return error


def _leaf(value: Any) -> Leaf:
    """Return what can be judged of an output: sparse tensors as dense ones, and nothing that is not a number."""
    if isinstance(value, torch.Tensor):
        return value if value.layout == torch.strided else value.to_dense()
    return value if isinstance(value, bool | int | float | complex) else 0


def _padded(leaves: list[Leaf]) -> list[Leaf]:
    """Return exactly `LEAVES` of them."""
    if len(leaves) > LEAVES:
        rest = [one.reshape(-1) for one in leaves[LEAVES - 1 :] if isinstance(one, torch.Tensor)]
        leaves = [*leaves[: LEAVES - 1], torch.cat([one.to(rest[0].dtype) for one in rest])]
    return leaves + [0] * (LEAVES - len(leaves))
