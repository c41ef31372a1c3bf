"""What happens on the host without an operator: autograd's engine runs a backward pass, and a tensor's memory is read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch

from stress.order import attributes
from stress.order.host_edges import Edges

ENGINE = "autograd's engine"
"""Name of its threads, and what they are ordered by."""


def backward_edges(edges: Edges) -> ExitStack:
    """Order the engine's threads with whoever calls backward, until the stack is closed: all that it does lies within the call."""
    from torch.autograd import graph

    stack = ExitStack()
    original = graph._engine_run_backward

    def call(*args: Any, **kwargs: Any) -> Any:
        edges("release", ENGINE)
        try:
            return original(*args, **kwargs)
        finally:
            edges("acquire", ENGINE)

    for module in (graph, torch.autograd):
        if hasattr(module, "_engine_run_backward"):
            attributes.replace(stack, module, "_engine_run_backward", call)
    return stack


def host_reads(note: Callable[[torch.Tensor, str], None]) -> ExitStack:
    """Note what reads a tensor's memory on the host without an operator, until the stack is closed.

    Noted are the tensor and what a report calls the read.
    """
    stack = ExitStack()

    def wrap(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            if tensor.device.type == "cpu":
                note(tensor, f"Tensor.{name}")
            return original(tensor, *args, **kwargs)

        return call

    for name in ("numpy", "tolist"):
        attributes.replace(stack, torch.Tensor, name, wrap(name, getattr(torch.Tensor, name)))
    return stack
