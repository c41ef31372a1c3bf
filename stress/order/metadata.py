"""What a tensor is beside its bytes: its sizes, strides and storage, and its `.grad`. Two threads share it with the tensor."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

import torch

from stress.order import attributes
from stress.order.history import Metadata
from stress.order.storages import contents_of
from stress.order.storages import device_name

Note = Callable[[torch.Tensor, str, bool, str], None]
"""(tensor, part, whether it is written, what the report calls the access)."""
SHAPE, GRAD = "sizes, strides and storage", ".grad"
TENSORS_MAX = 100_000
"""Tensors whose metadata is watched; beyond, all are forgotten, and counted."""


class TensorPart:
    """A part of a tensor's metadata, and its device, for a report: the text is made when it is read."""

    __slots__ = ("part", "tensor")

    def __init__(self, part: str, tensor: torch.Tensor) -> None:
        self.part, self.tensor = part, tensor

    def __str__(self) -> str:
        return f"{self.part} of {contents_of(self.tensor)}"

    @property
    def device(self) -> str:
        return device_name(self.tensor.device)


class MetadataTable:
    """The metadata of live tensors, by the tensor's Python object, which torch keeps as long as the tensor."""

    def __init__(self) -> None:
        self._live: dict[tuple[int, str], tuple[weakref.ref[torch.Tensor], Metadata]] = {}
        self.forgotten = 0

    def of(self, tensor: torch.Tensor, part: str) -> Metadata:
        key = id(tensor), part
        known = self._live.get(key)
        if known is not None and known[0]() is tensor:
            return known[1]
        if len(self._live) >= TENSORS_MAX:
            self.forgotten += len(self._live)
            self._live.clear()
        live = self._live
        made = Metadata()
        live[key] = weakref.ref(tensor, lambda dead: _forget(live, key, dead)), made
        return made


def _forget(live: dict[Any, tuple[Any, Metadata]], key: tuple[int, str], dead: object) -> None:
    known = live.get(key)
    if known is not None and known[0] is dead:  # not the next tensor at the same place
        del live[key]


def watch_attributes(note: Note) -> contextlib.ExitStack:
    """Note `tensor.data = ...`, and reads and writes of `tensor.grad`, which are no operators, until the stack is closed."""
    stack = contextlib.ExitStack()
    data, grad = torch.Tensor.data, torch.Tensor.grad

    def set_data(tensor: torch.Tensor, value: torch.Tensor) -> None:
        data.__set__(tensor, value)  # type: ignore[attr-defined]
        note(tensor, SHAPE, True, "Tensor.data")

    def get_grad(tensor: torch.Tensor) -> Any:
        value = grad.__get__(tensor)  # type: ignore[union-attr]
        if tensor.is_leaf:
            note(tensor, GRAD, False, "Tensor.grad")
        return value

    def set_grad(tensor: torch.Tensor, value: torch.Tensor | None) -> None:
        grad.__set__(tensor, value)  # type: ignore[union-attr]
        note(tensor, GRAD, True, "Tensor.grad")

    watched = {
        "data": property(data.__get__, set_data, data.__delete__),  # type: ignore[attr-defined]
        "grad": property(get_grad, set_grad, grad.__delete__),  # type: ignore[union-attr]
    }
    for name, replaced in watched.items():
        attributes.replace(stack, torch.Tensor, name, replaced)
    return stack
