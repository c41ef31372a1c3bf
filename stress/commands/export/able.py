"""Check that the simulated device can run what is exported for it. A file for another device is for another machine."""

from __future__ import annotations

from stress.commands import CommandError
from stress.commands.replay.find import shown
from stress.commands.replay.resolve import Resolved
from stress.commands.session import build_device
from stress.commands.session import probe_sim
from stress.commands.session import session
from stress.device.sim.settings import SimSettings
from stress.scenario.capabilities import CAPABILITIES

_WHY = {
    "inductor": "Inductor asks torch._C._mps_get_core_count, which a torch that was built without MPS lacks"
}
"""What a file would die of, where its traceback does not say that the device is the reason."""


def check_able(what: Resolved, settings: SimSettings | None) -> None:
    """Raise `CommandError` where the scenario requires what the simulated device has not."""
    if not what.cls.requires:
        return
    settings = SimSettings((settings or SimSettings()).design)
    build = build_device()
    with session() as opened:
        able = probe_sim(opened.supervise(str(build.library)), build, settings).capabilities
    missing = [name for name in what.cls.requires if name not in able]
    if missing:
        needs = ", ".join(f"{name} ({_WHY.get(name, CAPABILITIES[name])})" for name in missing)
        raise CommandError(
            f"{shown(what.nodeid)} needs {needs}; the simulated device (design {settings.design}) has none: leave --device=sim "
            "out for a file that runs on a Mac, or give --device=cpu or cuda"
        )
