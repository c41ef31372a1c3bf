"""torch.compile from N threads, which torch documents as not thread-safe: known failures are declared acceptable."""

from __future__ import annotations

import contextlib
import importlib
from typing import Any
from typing import ClassVar

import torch
import torch.nn.functional as F

from stress import Scenario

_ORIGIN = (
    "pytorch#136833, pytorch#168042: torch.compile is not thread-safe, and that is 'not on the roadmap'",
    "pytorch#191976: Inductor's LayerNorm on MPS was silently wrong",
)


class _Compiled(Scenario):
    """A network that all threads call through one compiled function, compiled by the first thread to call it."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (30,)
    iterations = 10
    backend: str

    def setup(self, device: torch.device) -> Any:
        network = torch.nn.Sequential(torch.nn.Linear(24, 32), torch.nn.LayerNorm(32), torch.nn.Linear(32, 8))
        network = network.eval().to(device)
        # The CPU's run beside a GPU is the truth to compare with, not what is tested. Inductor's C++ for it took 69 of
        # the 571 s of the full profile on an H200, and a fault of the compiler would have been on both sides.
        is_tested = device.type != "cpu" or self.device_type == "cpu"
        compiled = torch.compile(_forward, backend=self.backend) if is_tested else _forward
        return {"network": network, "compiled": compiled}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(6, 24, generator=generator)

    def step(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y: torch.Tensor = state["compiled"](state["network"], x)
        return y


class CompiledEager(_Compiled):
    """Every thread calls one function compiled with backend "eager": Dynamo's part, whose graphs run as they are."""

    backend = "eager"


class CompiledInductor(_Compiled):
    """Every thread calls one function compiled by Inductor, which generates its own kernels for the device."""

    requires = ("inductor",)
    backend = "inductor"
    acceptable = {
        "race": "torch.compile is documented as not thread-safe (pytorch#136833): errors of the compiler are declared"
    }
    attempts_quick: ClassVar[int | None] = 0

    def setup(self, device: torch.device) -> Any:
        _without_helper_threads()
        return super().setup(device)


def _without_helper_threads() -> None:
    """Compile in the calling thread: Inductor's pool and tqdm's monitor (seen on CUDA) would count as left behind."""
    import torch._inductor.config

    torch._inductor.config.compile_threads = 1
    with contextlib.suppress(ImportError):
        importlib.import_module("tqdm").tqdm.monitor_interval = 0


def _forward(network: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return torch.softmax(F.gelu(network(x)), dim=-1) + x.mean()
