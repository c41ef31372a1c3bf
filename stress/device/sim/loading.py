"""Load the simulated device's library in a child, name the device and configure it. Imports torch."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import backend_registration

from stress.device import library
from stress.device.sim import torch_mps
from stress.model import seeds
from stress.model.spec import ChildSpec
from stress.model.spec import SimSpec

DEVICE_NAME = "sim"
"""Name of the PrivateUse1 device. Nothing with the prefix "mps": torch.load matches devices by prefix."""

POOL_WAIT_VARIABLE = "MPS_STREAM_POOL_WAIT_TIMEOUT_MS"
"""The fork's: 0 raises at once, -1 waits for ever, else milliseconds. Matters to design fork-free-list."""


class _Prepared:
    """The configuration of this process's device; a process configures it once, before its first operation."""

    sim: SimSpec | None = None


def prepare(spec: ChildSpec, sim: SimSpec) -> None:
    """Make the simulated device ready for a child's first operation."""
    library.load(sim.library)
    module = _name_device(sim.key)
    # Without isolation several attempts share this process, whose device has been used since the first.
    if _Prepared.sim is None:
        configure(spec, sim)
    _Prepared.sim = sim
    torch_mps.provide(module, sim.design)


def configure(spec: ChildSpec, sim: SimSpec) -> None:
    """Arm the device's faults and draw their lots from the child's seed. In use it has to be idle, and of the same design."""
    seed, order = (
        seeds.derive(spec.seed, "sim", what, spec.kind, spec.attempt) for what in ("lots", "order")
    )
    ops().configure(f"{sim.configure};seed={seed};schedule_seed={order}{_pool_wait()}")


def go_on_in_fork() -> None:
    """Let torch seed the device in a fork of a process that had not used it.

    Torch takes it for lost wherever somebody asked whether there is an MPS before: on a Mac that starts Metal.
    """
    if prepared().key == "mps" and torch.mps._is_in_bad_fork():
        torch.mps._is_in_bad_fork = torch._C._mps_is_in_bad_fork = lambda: False  # type: ignore[attr-defined]


def works_in_fork() -> bool:
    """Whether this process, a fork that is good for nothing else, can use the device: not where its parent had used it."""
    try:
        return float(torch.ones(1, device=torch_device())) == 1
    except RuntimeError:
        return False


def _pool_wait() -> str:
    """Return how long a thread waits for a free stream, as the fork's environment variable sets it."""
    given = os.environ.get(POOL_WAIT_VARIABLE)
    return f";pool_wait_ms={given}" if given else ""


def is_prepared() -> bool:
    """Whether this process uses the simulated device."""
    return _Prepared.sim is not None


def prepared() -> SimSpec:
    """Return the settings that `prepare` was given."""
    if _Prepared.sim is None:
        raise RuntimeError("the simulated device is not loaded in this process: --mps-device=sim loads it")
    return _Prepared.sim


def ops() -> Any:
    """Return the control functions of the loaded library."""
    return torch.ops.mps_stress_sim


def note_step() -> Callable[[int, int], None] | None:
    """Return what reports a thread's position to the device, for its reports; None where the library has no such function."""
    names = ("tsan_step", "note_step")
    return next((getattr(ops(), one) for one in names if hasattr(ops(), one)), None)


def torch_device() -> torch.device:
    """Return the device that scenarios use: torch's own "mps" where the library could take that key."""
    return torch.device("mps" if prepared().key == "mps" else DEVICE_NAME)


@functools.cache
def _name_device(key: str) -> Any:
    """Make torch's Python side see the device; return the module that holds its functions."""
    if key == "mps":
        # Read from the library's hooks when torch was imported, before the library was loaded.
        torch._C._has_mps = True
        torch_mps.provide_storages("mps")
        return torch.mps
    backend_registration.rename_privateuse1_backend(DEVICE_NAME)
    module = torch_mps.new_module(DEVICE_NAME)
    torch._register_device_module(DEVICE_NAME, module)
    backend_registration.generate_methods_for_privateuse1_backend()
    return module
