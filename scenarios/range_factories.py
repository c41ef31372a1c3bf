"""Range factories, which encode on the calling thread instead of the stream's queue, with a host read each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch

from stress import Scenario
from stress import current

_ORIGIN = (
    "pytorch#197805: two threads of arange and linspace with changing sizes and one host read per iteration kill "
    "the process",
    "pytorch#197836: arange, linspace, logspace, eye and renorm take the encoder outside the stream's queue",
)

# Not torch.range, which warns at every call that it is deprecated. Looked up here, once: operators that several
# threads look up for the first time at once get two Python handles, one of which dispatch modes use after its end.
_RANGE: Callable[..., torch.Tensor] = torch.ops.aten.range.step


class ArangeLinspace(Scenario):
    """Every thread makes arange and linspace in several dtypes and in a size never seen before, and reads one sum."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (17,)
    iterations = 9

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.zeros(1).to(device)

    def step(self, state: torch.Tensor, x: None) -> dict[str, torch.Tensor]:
        size, device = 512 + _own_number(self.threads), state.device
        made = {
            "arange int32": torch.arange(size, dtype=torch.int32, device=device),
            "arange float32": torch.arange(0, size * 0.25, 0.25, dtype=torch.float32, device=device),
            "linspace float32": torch.linspace(-1, 1, size, dtype=torch.float32, device=device),
            "linspace float16": torch.linspace(0, 1, size, dtype=torch.float16, device=device),
            "linspace bfloat16": torch.linspace(0, 2, size, dtype=torch.bfloat16, device=device),
        }
        return {**made, "sum": torch.tensor(float(made["arange float32"].sum()), dtype=torch.float32)}


class EveryFactory(Scenario):
    """Every thread makes each kind of range in a changing size, starting with another kind, and reads one sum."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (17,)
    params = {"dtype": [torch.float32, torch.float16]}
    params_quick = {"dtype": [torch.float32]}
    iterations = 12
    dtype: torch.dtype

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.rand(96, 96).to(self.dtype).to(device)

    def step(self, state: torch.Tensor, x: None) -> dict[str, torch.Tensor]:
        dtype, device = state.dtype, state.device
        number = _own_number(self.threads)
        size = 64 + number
        makers: dict[str, Callable[[], torch.Tensor]] = {
            "arange": lambda: torch.arange(size, dtype=dtype, device=device),
            "linspace": lambda: torch.linspace(-3, 3, size, dtype=dtype, device=device),
            "logspace": lambda: torch.logspace(-1, 1, size, dtype=dtype, device=device),
            "range": lambda: _RANGE(0, size, 1, dtype=dtype, device=device),
            "eye": lambda: torch.eye(8 + number % 40, dtype=dtype, device=device),
            "renorm": lambda: state[: 8 + number % 80, :16].renorm(2, 0, 1.5),
        }
        names = list(makers)
        first = current().thread_index % len(names)
        made = {name: makers[name]() for name in names[first:] + names[:first]}
        # The trace is exact in every dtype, and reading it waits for the device.
        return {**{name: made[name] for name in names}, "trace": torch.tensor(int(made["eye"].sum().item()))}


def _own_number(threads: int) -> int:
    """Return a number that no other (thread, iteration) has."""
    step = current()
    return step.thread_index + step.iteration * threads
