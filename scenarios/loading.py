"""Loading a model: workers that move parameters to the device and cast them on the way, while others compute."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current

_WORKERS = 4
_SHAPES = ((96, 48), (96,), (48, 96), (48,), (64, 3, 5), (7,), (33, 17), (128, 16))


class CastWhileLoading(Scenario):
    """Four threads move parameters to the device and cast them from bfloat16, the others run a model that is loaded."""

    origin = (
        "huggingface/transformers#48029: four workers that call tensor.to(device, dtype) end the process, or stop at 0",
        "Pikselkroken/pixlstash#1341: with the cast 4 to 6 of 10 loads die, without it none",
    )
    rows: ClassVar[tuple[int, ...]] = (19,)
    threads_min = _WORKERS
    iterations = 16

    def setup(self, device: torch.device) -> dict[str, Any]:
        checkpoint = [torch.randn(shape).to(torch.bfloat16) for shape in _SHAPES]
        return {"checkpoint": checkpoint, "loaded": torch.randn(48, 48).to(device), "device": device}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 48, generator=generator)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return [self.load] * _WORKERS + [self.search] * (self.threads - _WORKERS)

    def load(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        step = current()
        source = state["checkpoint"][(step.thread_index + step.iteration * _WORKERS) % len(_SHAPES)]
        moved: torch.Tensor = source.to(state["device"], torch.float32)
        return moved

    def search(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(torch.tanh(x @ state["loaded"]) @ state["loaded"], dim=-1)
