"""References on disk: one file of raw bytes with a JSON index, read by memory map.

`torch.save` was tried: one zip entry per tensor costs 50-100 us, which for 8 threads x 50 iterations is
as much as a whole attempt. This is data only: reading it executes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from stress.child.tensor_tree import raw_bytes

_ALIGNMENT_BYTES = 64
_NODES = (torch.Tensor, dict, list, tuple)


def dump(path: Path, value: Any) -> None:
    """Write nested dicts, lists, tensors (moved to the CPU before) and JSON scalars to `path`.

    A list has nodes or scalars, not both.
    """
    chunks: list[bytes] = []
    offset = 0

    def encode(node: Any) -> Any:
        nonlocal offset
        if isinstance(node, torch.Tensor):
            data = raw_bytes(node)
            entry = {"t": [offset, str(node.dtype).removeprefix("torch."), list(node.shape)]}
            padding = -len(data) % _ALIGNMENT_BYTES
            chunks.append(data + bytes(padding))
            offset += len(data) + padding
            return entry
        if isinstance(node, dict):
            return {"d": {str(key): encode(child) for key, child in node.items()}}
        if isinstance(node, list | tuple):
            return [encode(child) for child in node] if node and isinstance(node[0], _NODES) else list(node)
        return node

    index = encode(value)
    with path.open("wb") as file:
        # A shared memory map would be shorter, but on a full disk it ends in SIGBUS, not in an error.
        file.writelines(chunks)
    path.with_suffix(".json").write_text(json.dumps(index))


def load(path: Path, leave_out: Sequence[str] = ()) -> Any:
    """Read what `dump` wrote, with empty lists in place of the entries to leave out.

    Tensors are views of a private memory map of the file.
    """
    size = path.stat().st_size
    arena = (
        torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
        if size
        else torch.empty(0, dtype=torch.uint8)
    )
    typed: dict[str, tuple[torch.Tensor, int]] = {}

    def tensor(offset: int, dtype_name: str, shape: list[int]) -> torch.Tensor:
        if (
            dtype_name not in typed
        ):  # one view of the whole file for each dtype: a tensor then costs one operator
            dtype = getattr(torch, dtype_name)
            typed[dtype_name] = (arena.view(dtype), dtype.itemsize)
        whole, itemsize = typed[dtype_name]
        strides, count = [0] * len(shape), 1
        for place in reversed(range(len(shape))):
            strides[place] = count
            count *= max(shape[place], 1)
        return whole.as_strided(shape, strides, offset // itemsize)

    def decode(node: Any) -> Any:
        if isinstance(node, list):
            return [decode(child) for child in node] if node and isinstance(node[0], _NODES) else node
        if not isinstance(node, dict):
            return node
        if "d" in node:
            return {key: [] if key in leave_out else decode(child) for key, child in node["d"].items()}
        return tensor(*node["t"])

    return decode(json.loads(path.with_suffix(".json").read_text()))
