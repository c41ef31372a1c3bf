"""Load a PyTorch tree's own MPS core in a child, and give torch the functions that its build lacks. Imports torch."""

from __future__ import annotations

import ctypes
import os
import re

import torch

from stress.device import library
from stress.device.gpu_trace import new_trace
from stress.model import seeds
from stress.model.errors import LibraryError
from stress.model.spec import ChildSpec
from stress.model.spec import CoreSpec

METAL_VARIABLE = "MPS_STRESS_METAL"
_DRAWN = re.compile(r"(?:^|;)(completion|seed)=")


class _Prepared:
    """The core of this process: a process loads one, before its first operation."""

    core: CoreSpec | None = None


def prepare(spec: ChildSpec, core: CoreSpec) -> None:
    """Load the library, configure the simulated Metal from the child's seed, and name the device."""
    library.load(core.library)
    # Without isolation several attempts share this process, whose device has been used since the first.
    if _Prepared.core is None:
        _install(core.library, metal_options(spec, os.environ.get(METAL_VARIABLE, "")))
    _Prepared.core = core


def metal_options(spec: ChildSpec, given: str) -> str:
    """Return the text that configures a child's simulated Metal: the user's, and what the attempt draws.

    Raise `LibraryError` where the user's own says what is drawn: the record would say something else than what ran.
    """
    found = _DRAWN.search(given)
    if found is not None:
        raise LibraryError(
            f"{METAL_VARIABLE}={given}: each attempt draws its own {found[1]}, which the record names: leave it out"
        )
    lots = seeds.derive(spec.seed, "core", "completion", spec.kind, spec.attempt)
    return f"{given};completion={spec.completion};seed={lots}"


def take_broken_promises() -> list[str]:
    """Return what the core promised and did not keep, since the last call: a line each (see `stress.order.broken_promise`)."""
    if _Prepared.core is None:
        return []
    take = ctypes.PyDLL(_Prepared.core.library).mps_stress_core_take_broken_promises
    take.restype = ctypes.py_object
    return list(take())


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
    # Called by traced_guard.cpp. What `torch.mps` calls is the tree's own, and stays out of it.
    torch.mps._gpu_trace = new_trace("tree's core", has_functions=False)  # type: ignore[attr-defined]
    torch._C._has_mps = True  # read from the hooks when torch was imported, before the library was loaded
