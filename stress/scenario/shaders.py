"""Kernels that a program brings along, in Metal's language (`torch.mps.compile_shader`), for scenarios. Child processes only.

A device that compiles them gets their source. The simulated device has no compiler: it carries these kernels by name, and
refuses any other source. On the CPU they are operators of torch, so that values can be compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Sequence
from functools import partial
from typing import Any
from typing import Protocol

import torch

ADDS = 16
"""Kernels `add_0` to `add_15`, each of which adds its number to a tensor in place."""
SCALE = "scale"
"""`scale(y, x, factor, offset)` writes `x * factor + offset` to `y`."""
NAMES = (*(f"add_{number}" for number in range(ADDS)), SCALE)
_IN_GRID = "uint i [[thread_position_in_grid]]"
_KERNEL = re.compile(r"\s*kernel void (\w+)\([^{}]*\{[^{}]*\}\s*")


class ShaderLibrary(Protocol):
    """What `compile_shader` returns: its kernels are attributes, and a name that is missing is a `RuntimeError`."""

    def __getattr__(self, name: str) -> Callable[..., None]: ...


def text_of(name: str) -> str:
    """Return a kernel in Metal's language. All tensors are contiguous and of 32-bit floats."""
    if name == SCALE:
        return (
            f"kernel void {name}(device float* y, device const float* x, constant float& factor, constant float& offset, "
            f"{_IN_GRID}) {{ y[i] = x[i] * factor + offset; }}\n"
        )
    return f"kernel void {name}(device float* x, {_IN_GRID}) {{ x[i] += {name.removeprefix('add_')}.0f; }}\n"


def source_of(names: Sequence[str] = NAMES) -> str:
    """Return the source of a library with these kernels."""
    return "".join(map(text_of, names))


def names_in(source: str) -> list[str]:
    """Return the kernels of a source; raise `ValueError` where it is anything but kernels of this module, as they stand here."""
    names, at = [], 0
    while at < len(source):
        found = _KERNEL.match(source, at)
        if found is None or found[1] not in NAMES or found[0].strip() != text_of(found[1]).strip():
            raise ValueError(
                f"only the kernels of stress.shaders are known ({NAMES[0]} to {NAMES[-2]}, {SCALE})"
            )
        names.append(found[1])
        at = found.end()
    return names


def compiler(device: torch.device) -> Callable[[str], Any] | None:
    """Return the function that makes a library of a source on this device; None where there is none."""
    if device.type == "cpu":
        return _HostLibrary
    module = getattr(torch, device.type, None)
    if device.type == "mps" and not hasattr(torch._C, "_mps_compileShader"):
        return None
    # 2.6's name has an underscore before it.
    names = ("compile_shader", "_compile_shader") if device.type != "cuda" else ()
    return next((getattr(module, one) for one in names if hasattr(module, one)), None)


def compile_shader(device: torch.device, source: str) -> ShaderLibrary:
    """Compile a source on the device. Raise `NotImplementedError` where nothing can, `RuntimeError` where it does not compile."""
    make = compiler(device)
    if make is None:
        raise NotImplementedError(f"{device.type} takes no kernels in Metal's language")
    library: ShaderLibrary = make(source)
    return library


class _HostLibrary:
    """The same kernels on the CPU."""

    def __init__(self, source: str) -> None:
        self._names = names_in(source)

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name not in self._names:
            raise RuntimeError(f"Failed to create function state object for: {name}")
        return _scale if name == SCALE else partial(_add, float(name.removeprefix("add_")))


def _scale(y: torch.Tensor, x: torch.Tensor, factor: float, offset: float) -> None:
    y.copy_(x * factor + offset)


def _add(number: float, x: torch.Tensor) -> None:
    x.add_(number)
