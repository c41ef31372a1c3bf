"""Nested tensors: what a step returns, as a flat list of leaves and a structure that can be compared."""

from __future__ import annotations

import ctypes
import inspect
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree  # private, but the same since 2.0; there is no public tree library

from stress.model.errors import BrokenScenario


def flatten(value: Any, where: str) -> tuple[list[torch.Tensor], pytree.TreeSpec]:
    """Return the tensor leaves of `value` and its structure; numbers become 0-dim tensors.

    Raise `BrokenScenario` where a leaf is neither, or where there is none: a step that returns nothing
    would be judged by nothing.
    """
    if inspect.iscoroutine(value):
        value.close()
        raise BrokenScenario(
            f"{where} returned a coroutine, which is never awaited: write a plain function "
            "(with asyncio.run(...) inside it if the subject is asynchronous)"
        )
    raw, spec = pytree.tree_flatten(value)
    if not [leaf for leaf in raw if leaf is not None]:
        raise BrokenScenario(f"{where} returned no tensor ({value!r:.80}): return the tensors to be judged")
    return [_leaf(leaf, where) for leaf in raw], spec


def _leaf(value: Any, where: str) -> torch.Tensor:
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_quantized:
            raise BrokenScenario(
                f"{where} returned a {value.layout} tensor of {value.dtype}: only strided tensors are compared; "
                "return x.to_dense() or x.dequantize()"
            )
        return value
    if isinstance(value, bool | int | float | complex):
        return torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)
    raise BrokenScenario(
        f"{where} returned a value of type {type(value).__name__} ({' '.join(repr(value).split()):.60}): return tensors or numbers, "
        "in tuples, lists and dicts as you like"
    )


def describe(spec: Any) -> str:
    """Return a structure as one line."""
    return " ".join(str(spec).split())


def unflatten(leaves: Sequence[torch.Tensor], spec: pytree.TreeSpec) -> Any:
    """Rebuild the nested value."""
    return pytree.tree_unflatten(list(leaves), spec)


def map_tensors(function: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """Apply `function` to every tensor of a nested value and keep everything else."""
    return pytree.tree_map(lambda leaf: function(leaf) if isinstance(leaf, torch.Tensor) else leaf, value)


def same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether both CPU tensors have the same dtype, shape and bytes (NaN payloads and signs of 0 included)."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    return torch.equal(as_bytes(left), as_bytes(right))


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """Return the elements' bytes as a flat uint8 tensor (a view where the layout allows)."""
    flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    # A single element counts as contiguous whatever its stride, but not for a view as bytes.
    return flat.as_strided(flat.shape, (1,)).view(torch.uint8)


def raw_bytes(tensor: torch.Tensor) -> bytes:
    """Return the elements' bytes of a CPU tensor; numpy, which is optional beside torch, is not needed."""
    data = as_bytes(tensor)
    return ctypes.string_at(data.data_ptr(), data.numel()) if data.numel() else b""


def leaves(value: Any) -> list[Any]:
    """Return all leaves of a nested value, tensors or not."""
    return pytree.tree_leaves(value)
