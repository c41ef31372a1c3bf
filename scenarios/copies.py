"""Copies: from the host without waiting, within the device, and of the scalars that operators take along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader
from torch.utils.data import TensorDataset

from stress import Scenario
from stress import current
from stress.scenario.exact import climb
from stress.scenario.exact import count_wrong
from stress.scenario.exact import shift_matrix
from stress.scenario.exact import total


class NonBlockingToDevice(Scenario):
    """Threads copy to the device without waiting, drop the source at once, and fill the host's memory with other data."""

    origin = (
        "pytorch#139550: non_blocking copies to MPS and wrong numbers",
        "pytorch#189690: a source that is reused before the copy ran",
    )
    rows: ClassVar[tuple[int, ...]] = (19,)
    params = {"elements": [3, 1024, 65536]}
    params_quick = {"elements": [3, 65536]}
    iterations = 10
    elements: int

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(128).to(device)

    def step(self, state: torch.Tensor, x: None) -> int:
        device = state.device
        start = float(current().thread_index * 100 + current().iteration)
        busy = climb(start, state, rows=64, steps=2)  # the copies queue up behind this
        copies = []
        for number in range(8):
            source = torch.full((self.elements,), start + number)
            copies.append(source.to(device, non_blocking=True))
            del source
            torch.full((self.elements,), -1.0)  # the host's heap gives the same memory out again
        wrong = count_wrong(busy, start + 2)
        for number, copied in enumerate(copies):
            wrong += count_wrong(copied, start + number)
        return int(wrong)


class PinnedReuse(Scenario):
    """Threads copy from pinned memory without waiting, drop it at once, and fill new pinned memory of the same size."""

    origin = (
        "pytorch#189512, pytorch#188804: a pinned source that is freed and given out again while it is copied",
        "pytorch#193819: pinned memory that queued work of a freed tensor still writes to",
        "karpathy/nanoGPT#656: a segmentation fault while pinned tensors are made",
    )
    rows: ClassVar[tuple[int, ...]] = (19,)
    requires = ("pinned_memory",)
    params = {"elements": [1024, 65536]}
    iterations = 5
    rounds = 4
    elements: int

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(128).to(device)

    def step(self, state: torch.Tensor, x: None) -> int:
        device = state.device
        start = float(current().thread_index * 100 + current().iteration)
        counts, on_host = [], 0
        for number in range(self.rounds):
            busy = climb(start, state, rows=64, steps=2)  # the copy queues up behind this
            freed = torch.zeros(self.elements, device=device).add_(1.0)
            del freed  # the work on it is still queued when the pinned memory is made
            source = torch.full((self.elements,), start + number).pin_memory()
            copied = source.to(device, non_blocking=True)
            on_host += int((source != start + number).sum())
            del source
            other = torch.full((self.elements,), -1.0).pin_memory()
            counts += [count_wrong(busy, start + 2), count_wrong(copied, start + number)]
            on_host += int((other != -1.0).sum())
        return total(counts) + on_host

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Expect no wrong element: the CPU alone has no pinned memory to run this with."""
        return [[0 for _ in of_thread] for of_thread in inputs]


class LargePinnedReuse(PinnedReuse):
    """The same with 30 MB, a size that allocators treat separately."""

    params = {"elements": [30 * 1000 * 1000 // 4]}
    iterations = 1
    rounds = 2
    attempts_quick: ClassVar[int | None] = 0


class PinnedLoader(Scenario):
    """Every thread trains on batches of its own DataLoader, which pins them, and copies them without waiting."""

    origin = (
        "pytorch#181720: pin_memory=True makes a second thread use the MPS allocator",
        "suite row 19: DataLoader with pin_memory",
    )
    rows: ClassVar[tuple[int, ...]] = (19,)
    requires = ("pinned_memory",)
    iterations = 3

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.randn(32, 8).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(24, 32, generator=generator)

    def step(self, state: torch.Tensor, x: torch.Tensor) -> list[torch.Tensor]:
        # Builds without pinning on MPS warn about it once; the copies run anyway.
        # A generator of its own: each loader draws a seed from the default one, which all threads would share.
        loader = DataLoader(
            TensorDataset(x.cpu()),
            batch_size=4,
            pin_memory=x.device.type != "cpu",
            generator=torch.Generator(),
        )
        batches = [batch.to(x.device, non_blocking=True) for (batch,) in loader]
        return [torch.tanh(batch @ state) for batch in batches]


class CopyChains(Scenario):
    """Threads pass a tensor on through clones, copies into old memory and copies that change the layout."""

    origin = (
        "pytorch#122016: wrong results of copies and scalars on other streams than the default one",
        "suite row 19: copies within the device",
    )
    rows: ClassVar[tuple[int, ...]] = (19,)
    iterations = 15

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(96).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(-99, 99, (96, 96), generator=generator).float()

    def step(self, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        y, old = x, torch.zeros_like(x)
        for _ in range(3):
            y = (y @ state).clone() + 1.0
            old.copy_(y)
            y = old.t().contiguous() - 1.0
        return torch.cat((y[:2], y[-2:]))


class ScalarChains(Scenario):
    """Threads run one chain of operators over one shape, each with its own numbers as the operators' scalars."""

    origin = (
        "pytorch#122016: scalars of one operator that the next one overwrites",
        "pytorch#181485: compiled graphs and the constants in them",
    )
    rows: ClassVar[tuple[int, ...]] = (4, 19)
    iterations = 15

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(-99, 99, (16, 32), generator=generator).float()

    def step(self, state: None, x: torch.Tensor) -> torch.Tensor:
        k = current().thread_index + 2
        y = x
        for _ in range(3):
            # Scalars that a backend keeps in a buffer, and scalars that it compiles into a graph.
            y = torch.add(y * float(k), x, alpha=k + 1.0) - float(k)
            y = torch.clamp(y, min=-20.0 * k, max=20.0 * k) / 2.0
            y = F.leaky_relu(y, negative_slope=0.25 * k).roll(k, dims=1)
        return y
