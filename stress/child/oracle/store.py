"""References on disk: one file of raw bytes with a JSON index, read by memory map.

`torch.save` was tried: one zip entry per tensor costs 50-100 us, which for 8 threads x 50 iterations is
as much as a whole attempt. This is data only: reading it executes nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from stress.child.tensor_tree import as_bytes
from stress.child.tensor_tree import raw_bytes

_ALIGNMENT_BYTES = 64


def dump(path: Path, value: Any) -> None:
    """Write nested dicts, lists, tensors (moved to the CPU before) and JSON scalars to `path`."""
    chunks: list[torch.Tensor] = []
    offset = 0

    def encode(node: Any) -> Any:
        nonlocal offset
        if isinstance(node, torch.Tensor):
            data = as_bytes(node)
            entry = {"t": [offset, str(node.dtype).removeprefix("torch."), list(node.shape)]}
            padding = -data.numel() % _ALIGNMENT_BYTES
            chunks.append(data)
            if padding:
                chunks.append(torch.zeros(padding, dtype=torch.uint8))
            offset += data.numel() + padding
            return entry
        if isinstance(node, dict):
            return {"d": {str(key): encode(child) for key, child in node.items()}}
        if isinstance(node, list | tuple):
            return [encode(child) for child in node]
        return node

    index = encode(value)
    with path.open("wb") as file:
        for chunk in chunks:
            # A shared memory map would be shorter, but on a full disk it ends in SIGBUS, not in an error.
            file.write(raw_bytes(chunk))
    path.with_suffix(".json").write_text(json.dumps(index))


def load(path: Path) -> Any:
    """Read what `dump` wrote; tensors are views of a private memory map of the file."""
    size = path.stat().st_size
    arena = (
        torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8)
        if size
        else torch.empty(0, dtype=torch.uint8)
    )

    def decode(node: Any) -> Any:
        if isinstance(node, list):
            return [decode(child) for child in node]
        if not isinstance(node, dict):
            return node
        if "d" in node:
            return {key: decode(child) for key, child in node["d"].items()}
        offset, dtype_name, shape = node["t"]
        dtype = getattr(torch, dtype_name)
        count = 1
        for extent in shape:
            count *= extent
        return arena[offset : offset + count * dtype.itemsize].view(dtype).view(shape)

    return decode(json.loads(path.with_suffix(".json").read_text()))
