"""Kernels on torch's CPU tensors, which stand for buffers: they have the kernel's values afterwards."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tests.core_device.shaders.driver import Argument
from tests.core_device.shaders.driver import Driver

TYPES = {
    "float": torch.float32,
    "half": torch.float16,
    "bfloat": torch.bfloat16,
    "int": torch.int32,
    "long": torch.int64,
    "short": torch.int16,
    "char": torch.int8,
    "uchar": torch.uint8,
    "bool": torch.bool,
}
TOLERANCES = {
    torch.float32: {"rtol": 2e-6, "atol": 1e-6},
    torch.float16: {"rtol": 2e-3, "atol": 1e-3},
    torch.bfloat16: {"rtol": 1.6e-2, "atol": 1e-2},
}


@dataclass(frozen=True)
class Arguments:
    """An argument buffer: tensors by their index in it."""

    tensors: dict[int, torch.Tensor]


@dataclass(frozen=True)
class Pointers:
    """A buffer with the addresses of tensors."""

    tensors: list[torch.Tensor]


class Kernels:
    """The kernels of one Metal text."""

    def __init__(self, driver: Driver, text: str) -> None:
        self.driver = driver
        self.library = driver.compile(text)
        self.names = driver.names(self.library)

    def run(
        self,
        name: str,
        values: Sequence[Any],
        threads: Sequence[int],
        group: Sequence[int] | None = None,
        *,
        seed: int = 1,
        counts_groups: bool = False,
        memory: int = 0,
    ) -> None:
        """Run with tensors as buffers, and bytes (of `packed`) by value."""
        kept: list[Any] = []
        arguments: list[Argument] = []
        for one in values:
            if isinstance(one, Arguments):
                arguments.append(Argument(kind="a", resources=len(one.tensors)))
                for index, tensor in one.tensors.items():
                    arguments.append(Argument(tensor.data_ptr(), tensor.nbytes, index))
            elif isinstance(one, Pointers):
                arguments.append(Argument(kind="p", resources=len(one.tensors)))
                arguments += [Argument(tensor.data_ptr(), tensor.nbytes) for tensor in one.tensors]
            elif isinstance(one, torch.Tensor):
                assert one.is_contiguous()
                arguments.append(Argument(one.data_ptr(), one.nbytes))
            elif one is None:
                arguments.append(Argument(kind="-"))
            else:
                kept.append(bytearray(one))
                address = torch.frombuffer(kept[-1], dtype=torch.uint8).data_ptr()
                arguments.append(Argument(address, len(one), kind="v"))
        if memory:
            arguments.append(Argument(length=memory, offset=0, kind="m"))
        size = group or [min(threads[0], 64), *[1] * (len(threads) - 1)]
        self.driver.run(self.library, name, arguments, threads, size, seed=seed, counts_groups=counts_groups)


def packed(code: str, *values: Any) -> bytes:
    """Return values as a kernel's `constant` argument has them: `struct.pack` without holes."""
    return struct.pack(f"={code}", *values)


def offsets(*byte_offsets: torch.Tensor, wide: bool = False) -> torch.Tensor:
    """Return the vectors of three byte offsets, one a thread, as kernels of iterators get them."""
    count = byte_offsets[0].numel()
    table = torch.zeros(count, 4, dtype=torch.int64 if wide else torch.int32)
    for column, one in enumerate(byte_offsets):
        table[:, column] = one
    return table


def dense(count: int, *tensors: torch.Tensor) -> torch.Tensor:
    """Return the offsets of a loop over contiguous tensors."""
    steps = torch.arange(count)
    return offsets(*(steps * one.element_size() for one in tensors))


def random_of(kind: str, *size: int, seed: int = 0) -> torch.Tensor:
    """Return values of one of `TYPES`, floats around zero."""
    lots = torch.Generator().manual_seed(seed)
    dtype = TYPES[kind]
    if dtype.is_floating_point:
        return (torch.randn(*size, generator=lots) * 3).to(dtype)
    if dtype == torch.bool:
        return torch.randint(0, 2, size, generator=lots) == 1
    low = 0 if dtype == torch.uint8 else -100
    return torch.randint(low, 100, size, generator=lots).to(dtype)


def assert_near(actual: torch.Tensor, expected: torch.Tensor, factor: float = 1.0) -> None:
    """Assert equality, or for floats nearness as of a library's functions: Apple's are not the C library's either."""
    expected = expected.to(actual.dtype)
    if not actual.dtype.is_floating_point:
        assert torch.equal(actual, expected), (actual, expected)
        return
    near = TOLERANCES[actual.dtype]
    torch.testing.assert_close(
        actual, expected, rtol=near["rtol"] * factor, atol=near["atol"] * factor, equal_nan=True
    )
