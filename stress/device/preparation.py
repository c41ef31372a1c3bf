"""Make the device that an order brings along ready in a child. Imports torch."""

from __future__ import annotations

import os

from stress.model.spec import ChildSpec


def loaded() -> ChildSpec:
    """Return an order that makes another process load what this one has loaded; nothing for torch's own devices."""
    from stress.device.core import loading as core
    from stress.device.sim import loading as sim

    return ChildSpec("crew", sim=sim.prepared() if sim.is_prepared() else None, core=core.prepared())


def prepare(spec: ChildSpec) -> None:
    """Make the device that `spec` brings along ready for the child's first operation. Nothing for torch's own devices."""
    if spec.sim is not None:
        from stress.device.sim import loading as sim

        sim.prepare(spec, spec.sim)
    elif spec.core is not None:
        from stress.device.core import loading as core

        core.prepare(spec, spec.core)


def prepare_again(spec: ChildSpec) -> None:
    """Give the device, which this process has used for other attempts, the seeds of another one."""
    if spec.sim is not None:
        from stress.device.sim import loading as sim

        sim.configure(spec, spec.sim)


def go_on_in_fork(spec: ChildSpec) -> None:
    """Make the device usable in a fork of a process that has prepared it, and had not used it."""
    if spec.sim is not None:
        from stress.device.sim import loading as sim

        sim.go_on_in_fork()


def is_lost_by_fork(spec: ChildSpec) -> bool:
    """Whether torch takes the device for unusable in forks of this process. A fork tells, for torch keeps it to itself."""
    pid = os.fork()
    if pid == 0:
        go_on_in_fork(spec)
        os._exit(_takes_for_lost(spec.device))
    _, status = os.waitpid(pid, 0)
    return status != 0


def _takes_for_lost(device: str) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda._is_in_bad_fork())
    if device == "sim":
        from stress.device.sim import loading as sim

        return not sim.works_in_fork()
    return device in ("core", "mps") and bool(torch.mps._is_in_bad_fork())
