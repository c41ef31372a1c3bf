"""Outputs that are no tensors, judged like tensors: texts, bytes and None by equality, NumPy's arrays by their numbers."""

from __future__ import annotations

import sys
from typing import Any

import torch

from stress.child.bits import raw_bytes
from stress.model.errors import BrokenScenario

TENSOR, VALUE, ARRAY = "", "value", "array"
"""Kinds of a leaf: a tensor or number; a text, bytes or None; an array of NumPy's."""
_CHARS_SHOWN, _CHARS_BEFORE = 60, 10


def encode(value: str | bytes | None) -> torch.Tensor:
    """Return bytes that are equal where type and value are."""
    if value is None:
        data = b"N"
    else:
        data = b"S" + value.encode("utf-8", "surrogatepass") if isinstance(value, str) else b"B" + value
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def decode(leaf: torch.Tensor) -> str | bytes | None:
    """Return what `encode` was given."""
    data = raw_bytes(leaf)
    if data[:1] == b"N":
        return None
    return data[1:].decode("utf-8", "surrogatepass") if data[:1] == b"S" else data[1:]


def is_array(value: Any) -> bool:
    """Whether it is an array, or a single number, of NumPy, which is not imported for that."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray | numpy.generic)


def from_array(value: Any, where: str) -> torch.Tensor:
    """Return a copy as a tensor. Not through `torch.from_numpy`: torch may have been built for another NumPy."""
    import numpy

    array = numpy.asarray(value)
    dtype = getattr(torch, array.dtype.name, None)
    if not isinstance(dtype, torch.dtype):
        raise BrokenScenario(
            f"{where} returned an array of dtype {array.dtype}: return arrays of numbers, or a list of texts"
        )
    array = array.astype(array.dtype.newbyteorder("="))
    if not array.size:
        return torch.empty(array.shape, dtype=dtype)
    return torch.frombuffer(bytearray(array.tobytes()), dtype=dtype).reshape(array.shape)


def to_array(leaf: torch.Tensor) -> Any:
    """Return what `from_array` was given; a number is an array without dimensions."""
    import numpy

    name = str(leaf.dtype).removeprefix("torch.")
    return numpy.frombuffer(raw_bytes(leaf), dtype=name).reshape(tuple(leaf.shape)).copy()


def difference(got: torch.Tensor, right: torch.Tensor) -> str:
    """Return in words how two encoded values differ."""
    one, other = decode(got), decode(right)
    if one is None or other is None or type(one) is not type(other):
        return f"{one!r:.{_CHARS_SHOWN}}, expected {other!r:.{_CHARS_SHOWN}}"
    at = next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    part = slice(max(0, at - _CHARS_BEFORE), at + _CHARS_SHOWN - _CHARS_BEFORE)
    dots = "..." if part.start else ""
    unit = "character" if isinstance(one, str) else "byte"
    return f"from {unit} {at}: {dots}{one[part]!r}, expected {dots}{other[part]!r}"
