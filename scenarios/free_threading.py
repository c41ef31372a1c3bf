"""Tensors as Python's objects, from threads: what only a Python without its global lock lets happen at the same time."""

from __future__ import annotations

import threading
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current

_ROWS = 12
_ORIGIN = (
    "pytorch#171992: unbind, and tensors that are made and dropped, from threads of a free-threaded Python",
)


class UnbindFromThreads(Scenario):
    """All threads take one shared tensor apart into views again and again, and drop them in another order than they came."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (1, 27)
    iterations = 10

    def setup(self, device: torch.device) -> dict[str, torch.Tensor]:
        base = torch.arange(float(_ROWS * 8)).reshape(_ROWS, 8)
        return {"plain": base.to(device), "graph": (base / 8).to(device).requires_grad_()}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(-8, 9, (8,), generator=generator).float()

    def step(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
        views = list(state["plain"].unbind(0))
        views.reverse()
        parts = [one + x for one in views[::2]]
        del views[1::2]
        parts += [one * 2.0 for one in state["plain"].split(5)]
        rows = (state["graph"] * x).unbind(0)
        (gradient,) = torch.autograd.grad(torch.stack(rows[::3]).sum(), state["graph"])
        return [torch.stack([*parts[: _ROWS // 2]]), *parts[_ROWS // 2 :], gradient]


class AttributesOfSharedTensors(Scenario):
    """Threads keep attributes on shared tensors, ask for their Python objects by other ways, and let the last reference go in another thread."""

    origin = (
        *_ORIGIN,
        "torch keeps a tensor's Python object alive, or brings it back, when the last reference from Python goes",
    )
    rows: ClassVar[tuple[int, ...]] = (11, 27)
    threads_min = 2
    iterations = 10

    def setup(self, device: torch.device) -> dict[str, Any]:
        shared = [torch.full((8,), float(number)).to(device) for number in range(1, 5)]
        return {"shared": shared, "handed": [None] * 16, "lock": threading.Lock()}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(-8, 9, (8,), generator=generator).float()

    def step(self, state: dict[str, Any], x: torch.Tensor) -> tuple[torch.Tensor, int]:
        me = current().thread_index
        total = x
        for tensor in state["shared"]:
            setattr(tensor, f"of_{me}", me)
            total = total + tensor.detach().view(2, 4).reshape(-1)
        wrong = sum(getattr(tensor, f"of_{me}") != me for tensor in state["shared"])
        owner = torch.full((8,), float(me), device=x.device)
        owner.number = me  # type: ignore[attr-defined]
        view, handed = owner[2:6], state["handed"]
        del owner  # held by the view alone, from C++
        before, handed[me % len(handed)] = handed[(me + 1) % len(handed)], view
        if before is not None:
            base = before._base
            wrong += int(base is None) or int(base.number != int(before[0]))
        return total, wrong
