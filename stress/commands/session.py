"""A command's session: devices, the records of its run, and a last record whatever ends it. No pytest here."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.commands import CommandError
from stress.commands.exit_status import EXIT_INTERRUPTED
from stress.device.sim.build import SimBuild
from stress.device.sim.settings import SimSettings
from stress.isolate.backend import IsolationError
from stress.isolate.device_choice import DeviceInfo
from stress.isolate.device_choice import SimDevice
from stress.isolate.device_choice import Unusable
from stress.isolate.device_choice import Wanted
from stress.isolate.device_choice import default_build
from stress.isolate.device_choice import open_device
from stress.isolate.device_choice import probe
from stress.isolate.supervisor import Supervisor
from stress.model.errors import BuildError
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import host_environment
from stress.record import run_id


def say(text: str) -> None:
    """Report progress; stdout is for the result alone."""
    print(f"{text}\n", end="", file=sys.stderr, flush=True)  # in one piece, whichever thread says what


def write_output(path: Path | None, text: str) -> None:
    """Write a result to the file of `--output`, or to stdout."""
    if path is None:
        print(text, end="")
        return
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"-o {path}: cannot write: {error.strerror}; give another file") from None


def build_device() -> SimBuild:
    """Return the library of the simulated device, built now if need be."""
    try:
        return default_build(say)
    except BuildError as error:
        raise CommandError(f"the simulated device cannot be built: {error}") from None


def probe_sim(supervisor: Supervisor, build: SimBuild, settings: SimSettings) -> DeviceInfo:
    """Return the simulated device with these settings, as a child sees it."""
    try:
        result = probe(supervisor, "sim", build.spec(settings))
    except Unusable as error:
        raise CommandError(f"the simulated device cannot be used: {error}") from None
    sim = SimDevice(settings, build)
    return DeviceInfo("sim", "as asked", result["fingerprint"], frozenset(result["capabilities"]), sim)


@dataclass
class Session:
    """Made by `session`, which closes it."""

    status: int | None = None
    """The command's exit status, for the last record; None while it is not known."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """Verdict -> how many items, for the last record."""
    _stack: ExitStack = field(default_factory=ExitStack)

    def supervise(
        self,
        device_library: str,
        python: str = sys.executable,
        preload: Sequence[str] = (),
        attempts_per_process: int | None = None,
    ) -> Supervisor:
        """Return where children of that interpreter come from; raise `IsolationError`."""
        supervisor = Supervisor(
            device_library, python, preload=preload, attempts_per_process=attempts_per_process
        )
        self._stack.callback(supervisor.close)
        return supervisor

    def open_device(
        self,
        wanted: Wanted,
        *,
        python: str = sys.executable,
        given: list[str] | None = None,
        preload: Sequence[str] = (),
        attempts_per_process: int | None = None,
    ) -> tuple[DeviceInfo, Supervisor]:
        """Return the device as a child of that interpreter sees it, and where its children come from.

        `given` is (device, why) where it is chosen already. Raise `DeviceError` or `IsolationError`.
        """
        opened: list[Supervisor] = []

        def open_supervisor(device_library: str) -> Supervisor:
            for one in opened:  # of a library that could not be used
                one.close()
            opened.append(self.supervise(device_library, python, preload, attempts_per_process))
            return opened[-1]

        device = open_device(wanted, open_supervisor, say, given, foreign=python != sys.executable)
        return device, opened[-1]

    def open_records(
        self,
        command: str,
        results: Path,
        *,
        seed: int,
        settings: Mapping[str, object],
        device: DeviceInfo | str,
        rootdir: Path | None = None,
        **fields: Any,
    ) -> RecordWriter:
        """Create the run's folder with its run record; `fields` go before what `device` says, which is a name where none was opened. Raise `RecordError`.

        The last record is written when the session ends.
        """
        rootdir = rootdir or Path.cwd()
        folder = RunFolder.create(results, run_id())
        folder.probe()
        writer = RecordWriter(folder, on_lost=say)
        record = {
            "command": command,
            "argv": list(sys.argv[1:]),
            "rootdir": str(rootdir),
            "seed": seed,
            "settings": dict(settings),
            "environment": host_environment(rootdir),
            **_device_fields(device),
            **fields,
        }
        writer.write("run", **record)
        self._stack.callback(self._close_records, writer, bool(record["simulated"]), time.monotonic())
        return writer

    def _close_records(self, writer: RecordWriter, simulated: bool, started: float) -> None:
        writer.write(
            "run_end",
            seconds=time.monotonic() - started,
            exit_status=self.status,
            verdicts=dict(self.verdicts),
            simulated=simulated,
        )
        writer.close()

    def callback(self, close: Callable[[], object]) -> None:
        """Let this be called when the session ends, before what was opened earlier is closed."""
        self._stack.callback(close)

    @contextlib.contextmanager
    def until_interrupted(self) -> Iterator[None]:
        """End what stands in the `with` block at Ctrl-C, which becomes the status; what there is by then is kept."""
        try:
            yield
        except KeyboardInterrupt:
            self.status = EXIT_INTERRUPTED

    @property
    def interrupted(self) -> bool:
        return self.status == EXIT_INTERRUPTED


@contextlib.contextmanager
def session() -> Iterator[Session]:
    """Open a session; at its end, close the records with a last one, then all processes that start children."""
    made = Session()
    try:
        with made._stack:
            yield made
    except IsolationError as error:
        raise CommandError(f"no child process can be started: {error}") from None


def _device_fields(device: DeviceInfo | str) -> dict[str, object]:
    if isinstance(device, str):
        return {"device": device, "simulated": False}
    return {
        "device": device.name,
        "device_reason": device.reason,
        "simulated": device.is_simulated,
        "sim": device.sim.to_data() if device.sim is not None else None,
        "core": device.core.to_data() if device.core is not None else None,
        "torch": device.torch,
    }
