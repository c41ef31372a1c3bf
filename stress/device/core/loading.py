"""Load a PyTorch tree's own MPS core in a child, and give torch the functions that its build lacks. Imports torch."""

from __future__ import annotations

import ctypes

import torch

from stress.device import library
from stress.model import seeds
from stress.model.errors import LibraryError
from stress.model.spec import ChildSpec
from stress.model.spec import CoreSpec


class _Prepared:
    """The core of this process: a process loads one, before its first operation."""

    core: CoreSpec | None = None


def prepare(spec: ChildSpec, core: CoreSpec) -> None:
    """Load the library, configure the simulated Metal from the child's seed, and name the device."""
    library.load(core.library)
    # Without isolation several attempts share this process, whose device has been used since the first.
    if _Prepared.core is None:
        lots = seeds.derive(spec.seed, "core", "completion", spec.kind, spec.attempt)
        _install(core.library, f"{core.configure}{';' if core.configure else ''}seed={lots}")
    _Prepared.core = core


def prepared() -> CoreSpec | None:
    """Return what `prepare` was given; None where this process uses no tree's core."""
    return _Prepared.core


def _install(path: str, configure: str) -> None:
    """Configure the simulated Metal and give torch._C the tree's functions for Python."""
    functions = ctypes.PyDLL(path)  # the tree's functions call Python: the lock stays held
    functions.simulated_metal_configure.argtypes = [ctypes.c_char_p]
    functions.simulated_metal_configure.restype = ctypes.c_char_p
    problem: bytes = functions.simulated_metal_configure(configure.encode())
    if problem:
        raise LibraryError(f"the simulated Metal refuses {configure}: {problem.decode()}")
    functions.mps_stress_core_install.argtypes = [ctypes.py_object]
    if functions.mps_stress_core_install(torch._C) < 0:
        raise LibraryError("the tree's functions for Python could not be installed")
    torch._C._has_mps = True  # read from the hooks when torch was imported, before the library was loaded
