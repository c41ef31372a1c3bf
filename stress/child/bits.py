"""The bytes of a tensor: what is compared before anything else."""

from __future__ import annotations

import ctypes

import torch


def same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether both CPU tensors have the same dtype, shape and bytes (NaN payloads and signs of 0 included)."""
    if left.dtype != right.dtype or left.shape != right.shape:
        return False
    return torch.equal(as_bytes(left), as_bytes(right))


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """Return the elements' bytes as a flat uint8 tensor (a view where the layout allows)."""
    if tensor.numel() > 1 and tensor.is_contiguous() and not (tensor.is_conj() or tensor.is_neg()):
        return tensor.detach().view(-1).view(torch.uint8)
    flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    # A single element counts as contiguous whatever its stride, but not for a view as bytes.
    return flat.as_strided(flat.shape, (1,)).view(torch.uint8)


def raw_bytes(tensor: torch.Tensor) -> bytes:
    """Return the elements' bytes of a CPU tensor; numpy, which is optional beside torch, is not needed."""
    data = as_bytes(tensor)
    return ctypes.string_at(data.data_ptr(), data.numel()) if data.numel() else b""
