"""What commands have in common that open a device and write a run's records without pytest."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from stress.commands import CommandError
from stress.isolate.backend import IsolationError
from stress.isolate.device_choice import DeviceInfo
from stress.isolate.device_choice import Wanted
from stress.isolate.device_choice import open_device
from stress.isolate.supervisor import Supervisor
from stress.record import RecordError
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import host_environment
from stress.record import run_id


def say(text: str) -> None:
    """Tell how it goes; stdout is for the result alone."""
    print(text, file=sys.stderr, flush=True)


def open_for(
    wanted: Wanted,
    stack: ExitStack,
    *,
    python: str = sys.executable,
    given: list[str] | None = None,
    preload: Sequence[str] = (),
) -> tuple[DeviceInfo, Supervisor]:
    """Return the device as a child of that interpreter sees it, and where its children come from, until `stack` ends.

    Raise `pytest.UsageError` or `IsolationError` where it cannot be used.
    """
    opened: list[Supervisor] = []

    def open_supervisor(sim_library: str) -> Supervisor:
        opened.append(Supervisor(sim_library, python, preload=preload))
        stack.callback(opened[-1].close)
        return opened[-1]

    device = open_device(wanted, open_supervisor, say, given)
    return device, opened[-1]


def open_records(
    command: str, results: Path, seed: int, settings: dict[str, object], device: DeviceInfo, **more: object
) -> RecordWriter:
    """Create the run's folder with its run record; raise `RecordError`."""
    folder = RunFolder.create(results, run_id())
    folder.probe()
    writer = RecordWriter(folder, on_lost=say)
    writer.write(
        "run",
        command=command,
        argv=list(sys.argv[1:]),
        rootdir=str(Path.cwd()),
        seed=seed,
        device=device.name,
        device_reason=device.reason,
        simulated=device.sim is not None,
        sim=device.sim.to_data() if device.sim is not None else None,
        settings=settings,
        environment=host_environment(Path.cwd()),
        torch=device.torch,
        **more,
    )
    return writer


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Turn what is wrong with the machine or the options into one sentence and exit status 2."""
    try:
        yield
    except (IsolationError, pytest.UsageError) as error:
        # Opening a device is the plugin's work too, whose options have a prefix.
        raise CommandError(str(error).replace("--mps-", "--")) from None
    except RecordError as error:
        raise CommandError(str(error).replace("--mps-results", "--results")) from None
