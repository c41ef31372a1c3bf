"""What has to be there before the first attempt: the built device, processes to start children, records."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.commands import CommandError
from stress.commands.power.allocation import Entry
from stress.commands.power.allocation import dump
from stress.commands.power.options import PowerOptions
from stress.commands.power.subject import Subject
from stress.device.sim.build import SimBuild
from stress.device.sim.build import default_builder
from stress.device.sim.toolchain import BuildError
from stress.isolate.backend import IsolationError
from stress.isolate.supervisor import Supervisor
from stress.model.spec import ChildSpec
from stress.record import RecordError
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import host_environment
from stress.record import run_id

ALLOCATION_FILE = "allocation.toml"
PROBE_DEADLINE_S = 180.0


@dataclass(frozen=True)
class Probed:
    """What a child says of one design of the simulated device."""

    torch: dict[str, Any]
    capabilities: frozenset[str]


def build_device() -> SimBuild:
    """Return the library of the simulated device, built now if need be."""
    if sys.platform != "linux":
        raise CommandError(f"the simulated device is for Linux only, and this is {sys.platform}")
    try:
        return default_builder().ensure(say)
    except BuildError as error:
        raise CommandError(f"the simulated device cannot be built: {error}") from None


def probe(supervisor: Supervisor, build: SimBuild, design: str) -> Probed:
    """Look at one design in a child."""
    folder = Path(tempfile.mkdtemp(prefix="mps-stress-probe-"))
    spec = ChildSpec(
        "probe",
        str(folder),
        "probe",
        "sim",
        deadline_s=PROBE_DEADLINE_S,
        sys_path=tuple(sys.path),
        sim=build.spec(Subject(design).sim),
    )
    try:
        run = supervisor.run(spec, 0)
    except IsolationError as error:
        raise CommandError(f"no child process can be started: {error}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if run.result is None or run.result["findings"]:
        text = run.result["findings"][0]["text"] if run.result else run.stderr.strip()[-2000:]
        raise CommandError(
            f"the simulated device cannot be used: {text or f'its process ended with {run.exit}'}"
        )
    return Probed(run.result["fingerprint"], frozenset(run.result["capabilities"]))


def open_records(
    options: PowerOptions, argv: Sequence[str], build: SimBuild, probed: Probed, entries: Sequence[Entry]
) -> RecordWriter:
    """Create the run's folder with its run record and the allocation, so that `--learn` can read both."""
    try:
        folder = RunFolder.create(options.results, run_id())
        folder.probe()
        writer = RecordWriter(folder, on_lost=say)
        folder.side(ALLOCATION_FILE).write_text(dump(entries, f"As used by run {folder.run}."))
    except RecordError as error:
        raise CommandError(str(error).replace("--mps-results", "--results")) from None
    writer.write(
        "run",
        command="power",
        argv=list(argv),
        rootdir=str(Path.cwd()),
        seed=options.seed,
        device="sim",
        device_reason="power measures on the simulated device",
        simulated=True,
        sim=build.to_data(),
        settings=options.to_data(),
        environment=host_environment(Path.cwd()),
        torch=probed.torch,
    )
    return writer


def say(text: str) -> None:
    """Tell how it goes; stdout is for the result alone."""
    print(text, file=sys.stderr, flush=True)
