"""The tensors inside a scenario's state, whatever object it is."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch

_DEPTH_MAX = 6
_ATOMS = (
    str,
    bytes,
    int,
    float,
    complex,
    type(None),
    type,
    ModuleType,
    torch.dtype,
    torch.device,
    torch.Generator,
)


def state_tensors(state: Any) -> list[tuple[str, torch.Tensor]]:
    """Return (path, tensor) for every strided tensor reachable from `state`, each tensor once.

    Looks into modules, mappings, sequences, sets, and any object's ``__dict__`` and ``__slots__``, down to
    a depth of six. Gradients are not separate state.
    """
    return list(_walk(state, "state", 0, set()))


def _walk(value: Any, path: str, depth: int, seen: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, _ATOMS) or id(value) in seen or depth > _DEPTH_MAX:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        if value.layout == torch.strided:
            yield path, value
        return
    for name, child in _children(value):
        yield from _walk(child, f"{path}{name}", depth + 1, seen)


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, torch.nn.Module):
        yield from ((f".{name}", tensor) for name, tensor in value.named_parameters())
        yield from ((f".{name}", tensor) for name, tensor in value.named_buffers())
    elif isinstance(value, Mapping):
        yield from ((f"[{key!r}]", child) for key, child in list(value.items()))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{index}]", child) for index, child in enumerate(value))
    else:
        yield from ((f".{name}", child) for name, child in list(own_attributes(value).items()))
        for cls in type(value).__mro__:
            for name in getattr(cls, "__slots__", ()):
                if isinstance(name, str) and hasattr(value, name):
                    yield f".{name}", getattr(value, name)


def own_attributes(value: object) -> Mapping[str, Any]:
    """Return the object's ``__dict__``, empty where it has none.

    Not by `getattr`: a library of shaders has none, takes every name for a kernel's, and raises `RuntimeError`.
    """
    try:
        found: Mapping[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return found


def storage_key(tensor: torch.Tensor) -> int:
    """Identify the storage behind `tensor`: views share it.

    Not ``data_ptr()``, which on MPS is derived from the buffer object rather than an address.
    """
    return tensor.untyped_storage()._cdata


def to_exact(state: Any) -> None:
    """Turn every floating and complex tensor of `state` into double precision, in place.

    The values are the *rounded* ones, so that what remains is the error of the computation. Tensors that
    share a storage go on sharing one.
    """
    converted: dict[int, torch.Tensor] = {}
    for _, tensor in state_tensors(state):
        wide = exact_dtype(tensor.dtype)
        if wide == tensor.dtype:
            continue
        key = storage_key(tensor)
        if key not in converted:
            whole = torch.empty(0, dtype=tensor.dtype, device=tensor.device).set_(tensor.untyped_storage())
            converted[key] = whole.to(wide)
        tensor.data = converted[key].as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())


def exact_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return float64 for floating dtypes, complex128 for complex ones, else `dtype` itself."""
    if dtype.is_complex:
        return torch.complex128
    return torch.float64 if dtype.is_floating_point else dtype
