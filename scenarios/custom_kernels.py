"""Kernels that a program brings along: compiled by several threads at once, touched for the first time by all, hot beside others."""

from __future__ import annotations

from typing import Any
from typing import ClassVar

import torch
import torch.nn.functional as F

from stress import Scenario
from stress import current
from stress import shaders

_ORIGIN = (
    "pytorch#163721: kernels of torch.mps.compile_shader and threads",
    "pytorch#197837: the guard of a library's kernels; pytorch#167541: its cache of pipelines, unguarded",
)
_SOURCES = 3
"""Different sources: the simulated Metal of a tree's core runs a compiler for each."""


class CustomKernels(Scenario):
    """All threads touch each kernel of a fresh library for the first time at once, and launch it again beside operators of torch."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (1, 16)
    requires = ("shaders",)
    iterations = 6

    def setup(self, device: torch.device) -> dict[str, Any]:
        source = shaders.source_of()
        return {
            "libraries": [shaders.compile_shader(device, source) for _ in range(self.iterations)],
            "weight": torch.linspace(-1, 1, 64 * 64).reshape(64, 64).to(device) / 8,
        }

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(-8, 9, (4, 64), generator=generator).float()

    def step(self, state: dict[str, Any], x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        library = state["libraries"][current().iteration % len(state["libraries"])]
        kernels = [getattr(library, f"add_{number}") for number in range(shaders.ADDS)]  # for the first time
        sums, y = x.clone(), x
        for kernel in kernels:
            kernel(sums)
            y = F.linear(y, state["weight"])
            kernel(y)
        for kernel in kernels:  # whoever made it first has it still
            kernel(sums)
        return sums, y


class CompiledByAll(Scenario):
    """All threads compile one source at once, then sources of their own, ask for kernels that are missing, and launch the others."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (4, 16)
    requires = ("shaders",)
    iterations = 4

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(-8, 9, (4, 64), generator=generator).float()

    def step(self, state: None, x: torch.Tensor) -> dict[str, Any]:
        common = shaders.compile_shader(x.device, shaders.source_of())
        own_number = current().thread_index % _SOURCES
        own = shaders.compile_shader(
            x.device, shaders.source_of([f"add_{own_number}", f"add_{own_number + _SOURCES}", shaders.SCALE])
        )
        y, z = x.clone(), torch.zeros_like(x)
        getattr(common, f"add_{2 * _SOURCES}")(y)
        getattr(own, f"add_{own_number}")(y)
        own.scale(z, y, 0.5, 3.0)
        missing = 0
        for library, name in ((common, "add_99"), (own, f"add_{2 * _SOURCES}")):
            try:
                getattr(library, name)(y)
            except (RuntimeError, AttributeError):
                missing += 1
        common.scale(y, z, 2.0, -1.0)
        return {"missing": missing, "y": y, "z": z}
