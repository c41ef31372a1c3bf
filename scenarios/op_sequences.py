"""Random sequences of operators: each thread's result alone specifies its result beside the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import ClassVar

import torch

from stress.scenario.sequences import numbers
from stress.scenario.sequences import program
from stress.scenario.sequences.catalogue import LANES
from stress.scenario.sequences.generated import GeneratedScenario


class RandomSequences(GeneratedScenario):
    """Even threads run one random sequence of operators, odd ones another, with weights that all of them share."""

    origin = (
        "dropbox/dML: a copy and attention were right alone and wrong one after the other; nobody had listed the pair",
    )
    rows: ClassVar[tuple[int, ...]] = (6,)
    params = {"dtype": [torch.float32, torch.float16], "number": numbers.chosen(os.environ)}
    params_quick = {"dtype": [torch.float32]}
    reducible = ("ops",)
    iterations = 12
    attempts_quick = 3
    dtype: torch.dtype
    number: int

    def __init__(self) -> None:
        self._ops: list[str] | None = None

    @property
    def ops(self) -> list[str]:
        """The sequence as data: what `number` says, unless a shorter one was set."""
        return numbers.draw(self.number) if self._ops is None else self._ops

    @ops.setter
    def ops(self, given: Sequence[str]) -> None:
        self._ops = list(given)

    def as_code(self) -> str:
        return program.source(self.ops, numbers.shape(self.number), str(self.dtype), self.number)

    def plain_members(self) -> dict[str, str]:
        parsed = program.parse(self.ops)
        lanes = "\n\n".join(program.lane_source(parsed, lane) for lane in LANES)
        steps = ", ".join(f'lambda state, x: lane_{lane}(x, state["w"], state["b"])' for lane in LANES)
        shape = numbers.shape(self.number)
        return {
            "": f"import torch.nn.functional as F\n\n\n{lanes}",
            "steps": f"def steps(self):\n    return [{steps}]",
            "make_input": (
                f"def make_input(self, generator):\n    return torch.randn({shape}, generator=generator).to(self.dtype)"
            ),
        }

    def setup(self, device: torch.device) -> dict[str, torch.Tensor]:
        weight, bias = torch.randn(64, 64) / 8, torch.randn(64)
        return {"w": weight.to(self.dtype).to(device), "b": bias.to(self.dtype).to(device)}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(numbers.shape(self.number), generator=generator).to(self.dtype)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        parsed, folder = program.parse(self.ops), Path(__file__).parent
        return [
            _step(program.compiled(parsed, lane, folder, f"sequence_{self.number}_{lane}")) for lane in LANES
        ]


def _step(lane: program.Step) -> Callable[[dict[str, torch.Tensor], torch.Tensor], list[torch.Tensor]]:
    def step(state: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
        return lane(x, state["w"], state["b"])

    return step
