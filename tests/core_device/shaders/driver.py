"""Run kernels of a Metal text on the simulated Metal: the library that `driver.toml` builds, loaded with ctypes.

Imports nothing but Python's own: a kernel that does what it may not ends its process, so tests of that start one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROBLEM_BYTES = 1 << 16
_NAMES_BYTES = 1 << 20


class _Buffer(ctypes.Structure):
    _fields_ = [
        ("memory", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("offset", ctypes.c_size_t),
        ("kind", ctypes.c_char),
        ("resources", ctypes.c_int),
        ("is_resident", ctypes.c_bool),
    ]


@dataclass
class Argument:
    """What is bound at one index, or lies in an argument buffer."""

    address: int = 0
    length: int = 0
    offset: int = 0
    kind: str = "b"
    resources: int = 0
    is_resident: bool = True


class Driver:
    """The simulated Metal in this process."""

    def __init__(self, library: Path) -> None:
        self._calls = ctypes.CDLL(str(library))
        self._calls.shaders_compile.restype = ctypes.c_void_p
        self._calls.simulated_metal_configure.restype = ctypes.c_char_p

    def compile(self, text: str, version: int = 310) -> Any:
        """Return the library of a text; raise `ValueError` with the compiler's words."""
        problem = ctypes.create_string_buffer(_PROBLEM_BYTES)
        made = self._calls.shaders_compile(text.encode(), version, problem, len(problem))
        if not made:
            raise ValueError(problem.value.decode())
        return ctypes.c_void_p(made)

    def names(self, library: Any) -> list[str]:
        names = ctypes.create_string_buffer(_NAMES_BYTES)
        self._calls.shaders_names(library, names, len(names))
        return names.value.decode().split()

    def run(
        self,
        library: Any,
        name: str,
        arguments: Sequence[Argument],
        threads: Sequence[int],
        group: Sequence[int],
        *,
        seed: int = 1,
        counts_groups: bool = False,
        options: str = "",
        reads_early: bool = False,
    ) -> None:
        """Dispatch once, and wait; raise `KeyError` where the library has no such kernel."""
        problem = self._calls.simulated_metal_configure(f"seed={seed};{options}".encode())
        if problem:
            raise ValueError(problem.decode())
        buffers = (_Buffer * max(len(arguments), 1))(
            *(
                _Buffer(
                    one.address, one.length, one.offset, one.kind.encode(), one.resources, one.is_resident
                )
                for one in arguments
            )
        )
        sizes = [(ctypes.c_uint * 3)(*one, *[1] * (3 - len(one))) for one in (threads, group)]
        if self._calls.shaders_run(
            library, name.encode(), buffers, len(arguments), *sizes, int(counts_groups), int(reads_early)
        ):
            raise KeyError(name)


def floats(values: Sequence[float]) -> ctypes.Array[ctypes.c_float]:
    return (ctypes.c_float * len(values))(*values)


def uints(values: Sequence[int]) -> ctypes.Array[ctypes.c_uint]:
    return (ctypes.c_uint * len(values))(*values)


def bound(values: ctypes.Array[Any], kind: str = "b", offset: int = 0) -> Argument:
    """Return a buffer with these values, which gets those after the dispatch."""
    return Argument(ctypes.addressof(values), ctypes.sizeof(values), offset, kind)


def memory(length: int, index: int = 0) -> Argument:
    """Return threadgroup memory, bound at `index`."""
    return Argument(length=length, offset=index, kind="m")
