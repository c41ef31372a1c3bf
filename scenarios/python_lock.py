"""Waits for the device and Python's lock: whoever waits must let other threads of Python get on, whatever ends meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current
from stress import streams
from stress.scenario.exact import climb
from stress.scenario.exact import count_wrong
from stress.scenario.exact import shift_matrix

_SIZE = 96
_ROUNDS = 3
_COUNTED = 20_000


class WaitsLetPythonGetOn(Scenario):
    """Threads wait behind long work, or count in pure Python, or copy from memory whose last reference goes when the copy ends."""

    origin = (
        "mlx#4413: a wait that holds the GIL, and a completion that needs it",
        "mlx#4497: the last reference to an array of the host's goes in a completion thread",
    )
    rows: ClassVar[tuple[int, ...]] = (10, 18, 19)
    threads_min = 3
    iterations = 10

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(_SIZE).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(-99, 99, (), generator=generator).float()

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.wait, self.copy, self.count)

    def wait(self, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Wait for the device behind a chain."""
        wrong = []
        for number in range(_ROUNDS):
            start = float(current().thread_index + number)
            y = climb(start, state, rows=64, steps=4)
            streams.synchronize(state.device)
            wrong.append(count_wrong(y, start + 4))
        return x + sum(wrong)

    def copy(self, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Copy from memory that Python owns, and drop it before the device has read it."""
        total = x
        for number in range(_ROUNDS):
            behind = climb(float(number), state, rows=64, steps=2)
            owned = bytearray(torch.full((_SIZE,), number + 1, dtype=torch.float32).numpy().tobytes())
            host = torch.frombuffer(owned, dtype=torch.float32)
            on_device = host.to(state.device, non_blocking=True)
            del host, owned
            total = total + count_wrong(on_device, float(number + 1)) + count_wrong(behind, float(number + 2))
        return total

    def count(self, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Count on the host alone; the thread gets nowhere while somebody keeps the lock."""
        counted = 0
        for _ in range(_COUNTED):
            counted += 1
        return x + float(counted - _COUNTED)
