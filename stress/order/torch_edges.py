"""What happens on the host without an operator: autograd's engine runs a backward pass, and a tensor's memory is read."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from stress.order.host_edges import Edges

ENGINE = "autograd's engine"
"""Name of its threads, and what they are ordered by."""


@contextmanager
def backward_edges(edges: Edges) -> Iterator[None]:
    """Order the engine's threads with whoever calls backward: all that it does lies within the call."""
    from torch.autograd import graph

    original = graph._engine_run_backward

    def call(*args: Any, **kwargs: Any) -> Any:
        edges("release", ENGINE)
        try:
            return original(*args, **kwargs)
        finally:
            edges("acquire", ENGINE)

    modules = [one for one in (graph, torch.autograd) if hasattr(one, "_engine_run_backward")]
    for one in modules:
        one._engine_run_backward = call  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for one in modules:
            one._engine_run_backward = original  # type: ignore[attr-defined]


@contextmanager
def host_reads(note: Callable[[torch.Tensor, str], None]) -> Iterator[None]:
    """Note what reads a tensor's memory on the host without an operator: (tensor, what the report calls it)."""
    own = vars(torch.Tensor)
    originals = {name: getattr(torch.Tensor, name) for name in ("numpy", "tolist")}
    inherited = [name for name in originals if name not in own]

    def wrap(name: str, original: Any) -> Any:
        def call(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if tensor.device.type == "cpu":
                note(tensor, f"Tensor.{name}")
            return original(tensor, *args, **kwargs)

        return call

    for name, original in originals.items():
        setattr(torch.Tensor, name, wrap(name, original))
    try:
        yield
    finally:
        for name, original in originals.items():
            if name in inherited:
                delattr(torch.Tensor, name)
            else:
                setattr(torch.Tensor, name, original)
