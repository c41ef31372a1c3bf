"""What all threads share, as it is at one moment: a snapshot, to be compared with a later one.

It sees the state, the scenario's instance, and the globals, classes, default arguments and closures of the author's
modules.

A tensor counts as written when its version counter or its storage has changed. That does not see `x.data`, kernels that
write without a word (batch norm's running statistics), and tensors made in inference mode, which have no counter. So
small tensors are compared by their bytes as well; where a device seems to have changed, it is read twice.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from types import FunctionType
from types import ModuleType
from typing import Any

import torch

from stress.child import tensor_tree
from stress.child.authors_modules import AuthorsModules
from stress.child.state import own_attributes
from stress.child.state import storage_key

OBJECTS_MAX = 20_000
_DEPTH_MAX = 10
_BYTES_MAX, _BYTES_MAX_TOTAL = 1 << 18, 4 << 20
"""Sizes of tensors that are compared by their bytes: of one, and of all in a snapshot."""
_UNKNOWN_KEY = "[...]"
_ATOMS = (str, bytes, int, float, complex, bool, type(None), torch.dtype, torch.device)
# Their own locks order what threads do to them, or each thread has its own content, or they are machinery.
_OPAQUE = {
    "_thread", "_weakref", "asyncio", "concurrent", "contextvars", "importlib", "logging", "multiprocessing",
    "queue", "_queue", "stress", "threading", "torch", "weakref",
}  # fmt: skip


@dataclass(frozen=True)
class SharedPath:
    text: str
    module: str = ""

    def child(self, name: str) -> SharedPath:
        return SharedPath(f"{self.text}.{name}" if self.text else name, self.module)

    def item(self, key: object) -> SharedPath:
        known = isinstance(key, str | int) and len(repr(key)) < 40
        return SharedPath(f"{self.text}[{key!r}]" if known else f"{self.text}{_UNKNOWN_KEY}", self.module)

    def __str__(self) -> str:
        text = self.text.partition(_UNKNOWN_KEY)[0]
        return f"`{text}` in module {self.module}" if self.module else text


@dataclass(frozen=True)
class SharedPlace:
    path: SharedPath
    kind: str


class _Tensor:
    """Version, storage and, of a small tensor, bytes."""

    def __init__(self, tensor: torch.Tensor, path: SharedPath, kind: str, *, with_bytes: bool) -> None:
        self.owner, self.path, self.kind = tensor, path, kind
        self.version = None if tensor.is_inference() else tensor._version
        self.storage, self.shape = storage_key(tensor), tensor.shape
        self.data = tensor.detach().to("cpu", copy=True) if with_bytes else None

    def changes(self, after: Any) -> Iterator[SharedPlace]:
        if (self.version, self.storage, self.shape) != (after.version, after.storage, after.shape) or (
            self.data is not None and after.data is not None and self._differs(after.data)
        ):
            yield SharedPlace(self.path, self.kind)

    def _differs(self, data: torch.Tensor) -> bool:
        assert self.data is not None
        if tensor_tree.same_bits(self.data, data):
            return False
        return tensor_tree.same_bits(self.owner.detach().to("cpu", copy=True), data)


class _Names:
    """A namespace: which object each name is bound to. Holding them keeps their ids from being used again."""

    def __init__(
        self, owner: object, path: SharedPath, names: Mapping[str, Any], *, kind: str = "attribute"
    ) -> None:
        self.owner, self.path, self.names, self.kind = owner, path, dict(names), kind

    def changes(self, after: Any) -> Iterator[SharedPlace]:
        nothing = object()
        for name in [*self.names, *(one for one in after.names if one not in self.names)]:
            new = after.names.get(name, nothing)
            # A submodule that a step imports becomes an attribute of its package: no state.
            if not _same(self.names.get(name, nothing), new) and not isinstance(new, ModuleType):
                yield SharedPlace(self.path.child(name), self.kind)


class _Entries:
    """The entries of a dictionary: an entry that changes is named, and the dictionary where one comes or goes."""

    def __init__(self, owner: dict[Any, Any], path: SharedPath) -> None:
        self.owner, self.path, self.entries = owner, path, dict(owner)

    def changes(self, after: Any) -> Iterator[SharedPlace]:
        if self.entries.keys() != after.entries.keys():
            yield SharedPlace(self.path, "contents")
        for key, value in self.entries.items():
            if key in after.entries and not _same(value, after.entries[key]):
                yield SharedPlace(self.path.item(key), "contents")


class _Contents:
    """What is in a container, or any other text that stands for it."""

    def __init__(self, owner: object, path: SharedPath, items: Sequence[Any], kind: str = "contents") -> None:
        self.owner, self.path, self.items, self.kind = owner, path, items, kind

    def changes(self, after: Any) -> Iterator[SharedPlace]:
        if len(self.items) != len(after.items) or not all(map(_same, self.items, after.items)):
            yield SharedPlace(self.path, self.kind)


_Mark = _Tensor | _Names | _Entries | _Contents
_Found = tuple[Any, SharedPath, str]
"""(object, path, kind if it is a tensor)."""


def _same(left: object, right: object) -> bool:
    return left is right or (type(left) is type(right) and isinstance(left, _ATOMS) and left == right)


class SharedObjects:
    """All that threads share, as it is now."""

    def __init__(self, roots: Iterable[tuple[Any, SharedPath]], modules: AuthorsModules) -> None:
        self._modules = modules
        self._bytes_left = _BYTES_MAX_TOTAL
        self._labels: dict[str, int] = {}
        self.marks: dict[int, _Mark] = {}
        queue: deque[tuple[_Found, int]] = deque(((root, path, "tensor"), 0) for root, path in roots)
        seen: set[int] = set()
        while queue and len(seen) < OBJECTS_MAX:
            (value, path, kind), depth = queue.popleft()
            if isinstance(value, _ATOMS) or id(value) in seen or depth > _DEPTH_MAX:
                continue
            seen.add(id(value))
            queue.extend((found, depth + 1) for found in self._look(value, path, kind))

    def changes(self, after: SharedObjects) -> Iterator[SharedPlace]:
        """Yield the places that differ, as this snapshot names them; objects that only one of both has are left out."""
        for key, mark in self.marks.items():
            other = after.marks.get(key)
            if type(other) is type(mark):
                yield from mark.changes(other)

    def _look(self, value: Any, path: SharedPath, kind: str) -> Iterator[_Found]:
        """Mark one object and yield what hangs on it."""
        if isinstance(value, torch.Tensor):
            yield from self._tensor(value, path, kind)
        elif isinstance(value, torch.Generator):
            self.marks[id(value)] = _Contents(
                value, path, [tensor_tree.raw_bytes(value.get_state())], "generator"
            )
        elif isinstance(value, dict | list | tuple | set | frozenset | deque):
            yield from self._container(value, path)
        elif isinstance(value, functools._lru_cache_wrapper):
            self.marks[id(value)] = _Contents(value, path, [value.cache_info().misses], "cache")
        elif isinstance(value, FunctionType | staticmethod | classmethod):
            yield from self._function(getattr(value, "__func__", value), path)
        elif isinstance(value, type):
            if value.__module__ in self._modules.names:
                yield from self._names(value, path, _public(vars(value)))
        elif type(value).__module__ == "numpy" and hasattr(value, "tobytes"):
            if value.nbytes <= _BYTES_MAX:
                self.marks[id(value)] = _Contents(value, path, [value.tobytes()])
        elif isinstance(value, torch.nn.Module):
            yield from self._torch_module(value, self._labelled(value, path))
        elif isinstance(value, ModuleType):
            if value.__name__ in self._modules.names:
                yield from self._names(value, SharedPath("", value.__name__), _public(vars(value)))
        elif not _is_opaque(type(value)):
            yield from self._names(value, self._labelled(value, path), _attributes(value))

    def _tensor(self, tensor: torch.Tensor, path: SharedPath, kind: str) -> Iterator[_Found]:
        if (
            type(tensor) not in (torch.Tensor, torch.nn.Parameter)
            or tensor.layout != torch.strided
            or tensor.is_quantized
            or tensor.device.type == "meta"
        ):
            return
        size = tensor.numel() * tensor.element_size()
        with_bytes = size <= min(_BYTES_MAX, self._bytes_left)
        self._bytes_left -= size if with_bytes else 0
        self.marks[id(tensor)] = _Tensor(tensor, path, kind, with_bytes=with_bytes)
        if tensor.is_leaf and tensor.requires_grad:
            # By a key of its own: the tensor has another mark.
            grad = {"grad": tensor.grad}
            self.marks[-id(tensor)] = _Names(tensor, path, grad, kind="gradient")
            if tensor.grad is not None:
                yield tensor.grad, path.child("grad"), "gradient"

    def _container(self, value: Any, path: SharedPath) -> Iterator[_Found]:
        if isinstance(value, dict):
            self.marks[id(value)] = _Entries(value, path)
            pairs = list(value.items())
        else:
            items = sorted(value, key=id) if isinstance(value, set | frozenset) else list(value)
            pairs = list(enumerate(items))
            if not isinstance(value, tuple | frozenset):
                self.marks[id(value)] = _Contents(value, path, items)
        for key, child in pairs:
            if not isinstance(child, _ATOMS):  # whose paths nobody asks for
                yield child, path.item(key), "tensor"

    def _function(self, value: Any, path: SharedPath) -> Iterator[_Found]:
        code = getattr(value, "__code__", None)
        if code is None or value.__module__ not in self._modules.names:
            return
        cells = {
            name: _content(cell)
            for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=False)
        }
        yield from self._names(value, path, {**vars(value), **cells})
        defaults = value.__defaults__ or ()
        named = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
        for name, default in [*zip(named, defaults, strict=False), *(value.__kwdefaults__ or {}).items()]:
            yield default, path.child(name), "tensor"

    def _torch_module(self, value: torch.nn.Module, path: SharedPath) -> Iterator[_Found]:
        own = {"training": value.training}
        if not type(value).__module__.startswith("torch."):
            base = vars(torch.nn.Module())
            own.update(
                {name: one for name, one in vars(value).items() if name not in base and "__" not in name}
            )
        yield from self._names(value, path, {**own, **value._buffers, **value._parameters})
        for name, module in value._modules.items():
            yield module, path.child(name), "tensor"

    def _names(self, owner: Any, path: SharedPath, names: Mapping[str, Any]) -> Iterator[_Found]:
        self.marks[id(owner)] = _Names(owner, path, names)
        for name, child in names.items():
            if not isinstance(child, (ModuleType, *_ATOMS)):
                yield (
                    child,
                    path.child(name),
                    "parameter" if isinstance(child, torch.nn.Parameter) else "tensor",
                )

    def _labelled(self, value: Any, path: SharedPath) -> SharedPath:
        """Name what `setup` returns by its class: TinyGPT.k_cache says more than state[0].k_cache."""
        if path.module or path.text.partition("[")[0] != "state" or "." in path.text:
            return path
        name = type(value).__name__
        return SharedPath(name) if self._labels.setdefault(name, id(value)) == id(value) else path


def _is_opaque(cls: type) -> bool:
    # An optimiser is torch's, but its state is what a training step writes.
    if cls.__module__.startswith("torch.optim"):
        return False
    return cls.__module__.partition(".")[0] in _OPAQUE


def _attributes(value: Any) -> dict[str, Any]:
    hide = "_" if type(value).__module__.startswith("torch.") else "__"
    found = {name: one for name, one in own_attributes(value).items() if not name.startswith(hide)}
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if isinstance(name, str) and not name.startswith("__") and hasattr(value, name):
                found[name] = getattr(value, name)
    return found


def _public(names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in list(names.items()) if not name.startswith("__")}


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None
