"""From a recorded attempt, or a scenario's name, to what is exported."""

from __future__ import annotations

import os
from typing import Any

from stress.commands import CommandError
from stress.commands.export.subject import CoreBlock
from stress.commands.export.subject import ExportSpec
from stress.commands.export.subject import SimBlock
from stress.commands.replay.find import shown
from stress.commands.replay.recorded import Recorded
from stress.commands.replay.repetition import Configuration
from stress.commands.replay.resolve import Resolved
from stress.commands.replay.variables import ALLOWED
from stress.device.sim.build import SimBuild
from stress.device.sim.loading import POOL_WAIT_VARIABLE
from stress.device.sim.settings import SimSettings
from stress.isolate.device_choice import CoreDevice
from stress.isolate.device_choice import DeviceInfo
from stress.model.errors import BrokenScenario


def subject_of(recorded: Recorded, what: Resolved, case: Configuration, device: DeviceInfo) -> ExportSpec:
    """Return the subject of one configuration on the device that is open."""
    sim = device.sim
    return ExportSpec(
        _scenario(case, device.name),
        case.threads,
        case.iterations,
        device.name,
        sim_block(sim.settings, sim.build) if sim is not None else None,
        core_block(device.core, case.completion) if device.core is not None else None,
        readback=case.readback,
        perturb=case.perturb,
        overrides=case.overrides,
        env={**_recorded_variables(recorded), **what.env},
    )


def _recorded_variables(recorded: Recorded) -> dict[str, str]:
    """Return the recorded variables that replay would set, and has set by now."""
    return {
        name: value
        for name, value in recorded.environment.items()
        if name in ALLOWED and os.environ.get(name) == value
    }


def sim_block(settings: SimSettings, build: SimBuild) -> SimBlock:
    """Return what an exported file says to the simulated device. Its order is left to the operating system."""
    plain = SimSettings(settings.design, settings.faults)
    wait_ms = os.environ.get(POOL_WAIT_VARIABLE)
    return SimBlock(
        str(build.library),
        build.key,
        settings.design,
        plain.configure_text(),
        f";pool_wait_ms={wait_ms}" if wait_ms else "",
    )


def core_block(core: CoreDevice, completion: str) -> CoreBlock:
    """Return what an exported file says to a tree's core; pauses are drawn anew in each of its runs."""
    return CoreBlock(core.spec.library, core.tree.describe(), completion)


def _scenario(case: Configuration, device: str) -> Any:
    try:
        return case.scenario(device)
    except BrokenScenario as error:
        raise CommandError(shown(error)) from None
