"""Which storage a tensor lies in: its history while it lives, and its memory after it is gone."""

from __future__ import annotations

import itertools
import weakref
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import torch

from stress.order.clocks import Site
from stress.order.model import OrderModel
from stress.order.model import TrackedStorage
from stress.order.overlap import Extent
from stress.order.overlap import extent_of

_PLAIN_NAMES = ("mps", "sim")
STORAGES_MAX = 100_000
"""Live storages kept, about 1.5 KB each; beyond, the one that was first seen longest ago is forgotten, and counted."""


def device_name(device: torch.device) -> str:
    """Return how a finding calls a device: "mps", "cpu", "cuda:0"."""
    return device.type if device.type in (*_PLAIN_NAMES, "cpu") else f"{device.type}:{device.index or 0}"


class _Contents(NamedTuple):
    """What a storage holds, for a report."""

    dtype: torch.dtype
    shape: torch.Size

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} {list(self.shape)}"


def contents_of(tensor: torch.Tensor) -> object:
    """Return what a report calls a tensor: its text is made when it is asked for."""
    return _Contents(tensor.dtype, tensor.shape)


class _StorageRef(weakref.ref[torch.UntypedStorage]):
    """Torch keeps a storage's Python object as long as the storage: when that dies, the memory is free."""

    __slots__ = ("freed_by", "key", "tracked")
    key: int
    tracked: TrackedStorage
    freed_by: int
    """The agent of the thread whose reference was the last; -1 for one that has none."""


class StorageTable:
    """The live storages, by the address of torch's object. Used under the checker's lock."""

    def __init__(self, model: OrderModel, agent: Callable[[], int]) -> None:
        """`agent` returns the calling thread's, or -1; it is called wherever a storage dies, and takes no lock."""
        self._model, self._agent = model, agent
        self._live: dict[int, _StorageRef] = {}
        # Called wherever the last reference goes, our own code included: so it only notes what has died.
        self._dead: deque[_StorageRef] = deque()
        self.host_count = 0
        """How many host storages a device's work has touched; the others need no look on level `device`."""
        self.forgotten = 0
        """Live storages that were dropped because there are too many: what was known of their accesses is lost."""
        self.unseen = 0
        """Tensors without an ordinary storage: sparse, fake, and other subclasses."""

    def __len__(self) -> int:
        return len(self._live)

    def _died(self, ref: _StorageRef) -> None:
        ref.freed_by = self._agent()
        self._dead.append(ref)

    def drain(self) -> None:
        """Retire the storages that have died. To be called before a thread learns what it did not know as it freed one."""
        dead = self._dead
        while dead:
            ref = dead.popleft()
            if self._live.get(ref.key) is ref:
                del self._live[ref.key]
            self._retire(ref.tracked, ref.freed_by)

    def _retire(self, tracked: TrackedStorage, freed_by: int) -> None:
        self.host_count -= tracked.is_host
        self._model.retire(tracked, freed_by)

    def known(self, tensor: torch.Tensor) -> TrackedStorage | None:
        """Return the storage if it is tracked already."""
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):
            return None
        ref = self._live.get(storage._cdata)
        return ref.tracked if ref is not None and ref() is storage else None

    def of(self, tensor: torch.Tensor, made: Site | None = None) -> TrackedStorage | None:
        """Return the tensor's storage, tracked from now on; None for a tensor without memory of its own."""
        try:
            storage = tensor.untyped_storage()
            key = storage._cdata
            ref = self._live.get(key)
            if ref is not None:
                if ref() is storage:
                    return ref.tracked
                self.drain()
                if self._live.get(key) is ref:  # pragma: no cover - its death has not been noted
                    self._live.pop(key)
                    self._retire(ref.tracked, -1)
            if storage.device.type == "meta":  # a fake tensor, whatever device it plays
                return None
            address, bytes_ = storage.data_ptr(), storage.nbytes()
        except (NotImplementedError, RuntimeError):
            self.unseen += 1
            return None
        if not bytes_ or not address:
            return None
        device = tensor.device
        tracked = TrackedStorage(
            device_name(device),
            address,
            bytes_,
            is_host=device.type == "cpu",
            text=contents_of(tensor),
            site=made,
        )
        self.host_count += tracked.is_host
        ref = _StorageRef(storage, self._died)
        ref.key, ref.tracked = key, tracked
        self._live[key] = ref
        if len(self._live) > STORAGES_MAX:
            self._forget_oldest()
        self._model.new_storage(tracked)
        return tracked

    def _forget_oldest(self) -> None:
        # Many at once: a dict whose first key is taken again and again looks at all places of those before.
        for key in list(itertools.islice(self._live, 1 + STORAGES_MAX // 16)):
            self.host_count -= self._live.pop(key).tracked.is_host
            self.forgotten += 1

    def replaced(self, tensor: torch.Tensor) -> None:
        """A tensor's storage may have new memory (`resize_`): what was known of it is the old memory's."""
        tracked = self.known(tensor)
        if tracked is None:
            return
        storage = tensor.untyped_storage()
        if storage.data_ptr() == tracked.address:
            tracked.bytes = storage.nbytes()
        else:
            self._retire(self._live.pop(storage._cdata).tracked, self._agent())


def tensor_extent(tensor: torch.Tensor) -> Extent | None:
    """Return the bytes of its storage that a tensor covers; None for none."""
    if tensor.is_contiguous():
        bytes_ = tensor.nbytes
        begin = tensor.storage_offset()
        if begin:
            begin *= tensor.itemsize
        # Not Extent(...), which takes three times as long.
        return tuple.__new__(Extent, (begin, begin + bytes_, None)) if bytes_ else None
    return extent_of(int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride(), tensor.itemsize)
