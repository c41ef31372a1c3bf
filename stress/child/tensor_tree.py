"""Nested values: what a step returns, as a flat list of tensors and a structure that can be compared."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

import torch
from torch.utils import _pytree as pytree  # private, but the same since 2.0; there is no public tree library

from stress.child import leaf_values
from stress.child.bits import as_bytes as as_bytes
from stress.child.bits import raw_bytes as raw_bytes
from stress.child.bits import same_bits as same_bits
from stress.model.errors import BrokenScenario


class Structure(NamedTuple):
    """Where the leaves stand, and of which kind each is (`stress.child.leaf_values`)."""

    tree: pytree.TreeSpec
    kinds: tuple[str, ...]

    @property
    def values(self) -> list[bool]:
        """Return whether each leaf is a text, bytes or None, which has no tolerance and no digest."""
        return [kind == leaf_values.VALUE for kind in self.kinds]


class _Fields:
    """A dataclass while it is a part of a tree: its fields by name."""

    def __init__(self, cls: type[Any], fields: dict[str, Any]) -> None:
        self.cls, self.fields = cls, fields

    def object(self) -> Any:
        """Return the dataclass, without its `__init__`, which may need what is no field."""
        made = object.__new__(self.cls)
        for name, value in self.fields.items():
            object.__setattr__(made, name, value)
        return made


pytree.register_pytree_node(
    _Fields,
    lambda one: (list(one.fields.values()), (one.cls, tuple(one.fields))),
    lambda values, context: _Fields(context[0], dict(zip(context[1], values, strict=True))).object(),
    serialized_type_name="stress.dataclass",
)


def flatten(value: Any, where: str) -> tuple[list[torch.Tensor], Structure]:
    """Return the leaves of `value` as tensors, and its structure; numbers become 0-dim tensors, texts their bytes.

    Raise `BrokenScenario` where a leaf cannot be compared, or where there is none: a step that returns nothing
    would be judged by nothing.
    """
    if inspect.iscoroutine(value):
        value.close()
        raise BrokenScenario(
            f"{where} returned a coroutine, which is never awaited: write a plain function "
            "(with asyncio.run(...) inside it if the subject is asynchronous)"
        )
    raw, tree = pytree.tree_flatten(_with_fields(value))
    if not [leaf for leaf in raw if leaf is not None]:
        raise BrokenScenario(
            f"{where} returned nothing to compare ({value!r:.80}): return the tensors to be judged"
        )
    kinds = tuple(_kind(leaf) for leaf in raw)
    return [_leaf(leaf, kind, where) for leaf, kind in zip(raw, kinds, strict=True)], Structure(tree, kinds)


def _with_fields(value: Any) -> Any:
    """Return the value with its dataclasses, at any depth, as parts of the tree."""

    def of(leaf: Any) -> Any:
        if not dataclasses.is_dataclass(leaf) or isinstance(leaf, type):
            return leaf
        fields = {one.name: _with_fields(getattr(leaf, one.name)) for one in dataclasses.fields(leaf)}
        return _Fields(type(leaf), fields)

    return pytree.tree_map(of, value)


def _kind(leaf: Any) -> str:
    if leaf is None or isinstance(leaf, str | bytes | bytearray):
        return leaf_values.VALUE
    return leaf_values.ARRAY if leaf_values.is_array(leaf) else leaf_values.TENSOR


def _leaf(value: Any, kind: str, where: str) -> torch.Tensor:
    if kind == leaf_values.VALUE:
        return leaf_values.encode(bytes(value) if isinstance(value, bytearray) else value)
    if kind == leaf_values.ARRAY:
        return leaf_values.from_array(value, where)
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
        f"{where} returned an object of class {type(value).__name__} ({' '.join(repr(value).split()):.60}): return tensors, "
        "numbers, texts or NumPy arrays, in tuples, lists, dicts and dataclasses as you like"
    )


def describe(spec: Structure) -> str:
    """Return a structure as one line."""
    text = " ".join(str(spec.tree).split())
    return f"{text} of {', '.join(kind or 'tensor' for kind in spec.kinds)}" if any(spec.kinds) else text


def unflatten(leaves: Sequence[torch.Tensor], spec: Structure) -> Any:
    """Rebuild the nested value: texts, arrays and dataclasses are what they were, and numbers are tensors."""
    back = {leaf_values.VALUE: leaf_values.decode, leaf_values.ARRAY: leaf_values.to_array}
    values = [
        back[kind](leaf) if kind in back else leaf for leaf, kind in zip(leaves, spec.kinds, strict=True)
    ]
    return pytree.tree_unflatten(values, spec.tree)


def map_tensors(function: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """Apply `function` to every tensor of a nested value and keep everything else."""
    return pytree.tree_map(lambda leaf: function(leaf) if isinstance(leaf, torch.Tensor) else leaf, value)


def leaves(value: Any) -> list[Any]:
    """Return all leaves of a nested value, tensors or not."""
    return pytree.tree_leaves(value)
