"""Make the device that an order brings along ready in a child. Imports torch."""

from __future__ import annotations

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
