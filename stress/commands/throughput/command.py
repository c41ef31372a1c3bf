"""`mps-stress throughput`: open the builds, measure, print, and say by the exit status whether a number is void."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC
from datetime import datetime
from pathlib import Path

from stress.commands import CommandError
from stress.commands.exit_status import EXIT_INTERRUPTED
from stress.commands.session import Session
from stress.commands.session import say
from stress.commands.session import session
from stress.commands.throughput.catalogue import OTHER_BUILD
from stress.commands.throughput.catalogue import THIS_BUILD
from stress.commands.throughput.catalogue import cells
from stress.commands.throughput.measurement import ThroughputMeasurement
from stress.commands.throughput.measurement import measure
from stress.commands.throughput.options import ThroughputOptions
from stress.commands.throughput.report import Setting
from stress.commands.throughput.report import json_text
from stress.commands.throughput.report import text
from stress.commands.throughput.window_runner import Build
from stress.commands.throughput.window_runner import WindowRunner

_ASK_VERSION_S_MAX = 60.0
_PYTHON_MIN = (3, 11)


def run(options: ThroughputOptions) -> int:
    """Measure and print; 1 where a number is void, 130 after Ctrl-C."""
    with session() as opened:
        builds = _open_builds(options, opened)
        other = builds.get(OTHER_BUILD)
        writer = opened.open_records(
            "throughput",
            options.results,
            seed=options.seed,
            settings=options.to_data(),
            device=builds[THIS_BUILD].device,
            against=other.device.torch if other is not None else None,
        )
        measured = ThroughputMeasurement.of(
            cells(options.workloads, options.ways, options.counts, against=other is not None)
        )
        runners = {name: WindowRunner(build, writer, options) for name, build in builds.items()}
        for runner in runners.values():
            opened.callback(runner.close)
        measure(measured, runners, seconds=options.seconds, seed=options.seed, say=say)
        opened.status = EXIT_INTERRUPTED if measured.interrupted else int(bool(measured.void))
    setting = _setting(builds, str(writer.folder.path))
    columns = shutil.get_terminal_size().columns
    result = (
        json_text(measured, setting)
        if options.json
        else text(measured, setting, width=columns, color=sys.stdout.isatty())
    )
    print(result)
    return opened.status


def _open_builds(options: ThroughputOptions, opened: Session) -> dict[str, Build]:
    device, supervisor = opened.open_device(options)
    builds = {THIS_BUILD: Build(THIS_BUILD, supervisor, device)}
    if options.against is None:
        return builds
    if device.sim is not None:
        raise CommandError(
            f"--against={options.against}: the simulated device is not part of a torch build, so two builds cannot be "
            "compared on it: choose another device, as in --device=cpu"
        )
    _check_version(options.against)
    given = [device.name, "as for this build"]
    device, supervisor = opened.open_device(options, python=str(options.against), given=given)
    builds[OTHER_BUILD] = Build(OTHER_BUILD, supervisor, device)
    return builds


def _check_version(python: Path) -> None:
    """Raise `CommandError` unless the file is a Python that this package's children can run on."""
    code = "import sys; print(*sys.version_info[:2])"
    try:
        done = subprocess.run(
            [str(python), "-c", code], capture_output=True, text=True, timeout=_ASK_VERSION_S_MAX, check=True
        )
        version = tuple(map(int, done.stdout.split()))
    except (OSError, ValueError, subprocess.SubprocessError):
        raise CommandError(f"--against={python}: not a Python interpreter") from None
    if version < _PYTHON_MIN:
        raise CommandError(
            f"--against={python}: Python {'.'.join(map(str, version))}; the other build needs "
            f"{'.'.join(map(str, _PYTHON_MIN))} or newer"
        )


def _setting(builds: dict[str, Build], folder: str) -> Setting:
    this, other = builds[THIS_BUILD].device, builds.get(OTHER_BUILD)
    simulated = this.is_simulated
    return Setting(
        device=f"{this.name} (simulated, not Metal)" if simulated else this.name,
        torch=this.torch_text,
        other_torch=other.device.torch_text if other is not None else None,
        machine=f"{platform.machine()}, {os.cpu_count()} cores, load {_load()}",
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        simulated=simulated,
        folder=folder,
    )


def _load() -> str:
    """Return the load average at the end, by which a reader sees whether the machine was busy with other things."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
