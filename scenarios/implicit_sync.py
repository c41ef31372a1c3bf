"""Operators that wait for the device behind the caller's back: nonzero, masks, item, and printing a tensor."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario

_ORIGIN = (
    "pytorch#100285: nonzero from several threads aborts ('Completed handler provided after commit call')",
    "pytorch#108996: its fix, and the debugger that prints tensors from a separate thread",
)


class HostReads(Scenario):
    """Every thread runs nonzero, masked_select, boolean indexing, unique and item() on its own input."""

    origin = (*_ORIGIN, "pytorch#178079: boolean indexing reports false out-of-bounds errors now and then")
    rows: ClassVar[tuple[int, ...]] = (18,)
    iterations = 15

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(12, 16, generator=generator)

    def step(self, state: None, x: torch.Tensor) -> dict[str, Any]:
        return _reads(x)


class PrintingDebugger(Scenario):
    """The main thread prints a shared tensor again and again, as a debugger does, while the crew reads its own."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (18,)
    iterations = 15

    def setup(self, device: torch.device) -> dict[str, Any]:
        watched = torch.randint(-99, 99, (16,)).float()
        return {"watched": watched.to(device), "values": watched.tolist()}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(12, 16, generator=generator)

    def step(self, state: dict[str, Any], x: torch.Tensor) -> dict[str, Any]:
        return _reads(x * state["watched"])

    def main_step(self, state: dict[str, Any]) -> None:
        printed = numbers_in(repr(state["watched"]))
        if printed != state["values"]:
            raise RuntimeError(f"the tensor was printed as {printed}, its values are {state['values']}")


class DebuggerThread(Scenario):
    """Half of the threads only print tensors and read the numbers back, the other half run nonzero and masks."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (18,)
    threads_min = 2
    iterations = 15

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(-99, 99, (12, 16), generator=generator).float()

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.read, self.print)

    def read(self, state: None, x: torch.Tensor) -> dict[str, Any]:
        return _reads(x)

    def print(self, state: None, x: torch.Tensor) -> torch.Tensor:
        return torch.tensor(numbers_in(repr(x[:2] * 2)))


def _reads(x: torch.Tensor) -> dict[str, Any]:
    positive = x > 0
    return {
        "nonzero": positive.nonzero(),
        "masked_select": torch.masked_select(x, positive),
        "indexed": x[~positive],
        "unique": torch.unique(positive.sum(dim=1)),
        "item": int(positive.sum().item()),
    }


def numbers_in(text: str) -> list[float]:
    """Return the numbers that the repr of a tensor shows."""
    inside = text[text.index("[") : text.rindex("]")]
    return [float(part) for part in inside.replace("[", " ").replace("]", " ").replace(",", " ").split()]
