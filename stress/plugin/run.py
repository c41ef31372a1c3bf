"""One pytest run: its device, supervisor, records and time budget."""

from __future__ import annotations

import atexit
import functools
import time
from collections import Counter
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import Protocol

import pytest

from stress.child.perturb.own_code import editable_installs
from stress.child.perturb.own_code import own_folders
from stress.device.core.tree import PytorchTree
from stress.diagnose.signature_file import SignatureError
from stress.diagnose.signatures import default_signatures
from stress.isolate import same_torch
from stress.isolate.backend import IsolationError
from stress.isolate.device_choice import DeviceInfo
from stress.isolate.device_choice import default_build
from stress.isolate.device_choice import open_device
from stress.isolate.supervisor import Supervisor
from stress.model.errors import OptionError
from stress.plugin import tsan_run as tsan
from stress.plugin.child_options import options_for_child
from stress.plugin.options import worker_input
from stress.plugin.options import xdist_workers
from stress.plugin.settings import Settings
from stress.plugin.time_budget import Budget
from stress.record import RecordError
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import host_environment
from stress.record import run_id
from stress.record.folder import attempt_command
from stress.record.machine import import_folders
from stress.record.torch_build import check_source
from stress.sanitizer.python.children import Children

OPTION_PREFIX = "--mps-"


class Drawn(Protocol):
    def clear(self) -> None:
        """Remove what is drawn, so that a line can be written."""


@dataclass
class Run:
    """State of the run in one process (the xdist controller and each worker have their own)."""

    settings: Settings
    config: pytest.Config
    run_id: str = field(default_factory=run_id)
    started: float = field(default_factory=time.monotonic)
    device: DeviceInfo | None = None
    torch_mismatches: list[str] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)
    pids: dict[int, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    """Child pid -> (start, identity of its attempt): late crash reports are matched by them."""
    command: str = ""
    """The `mps-stress` command that made this run; "" for pytest itself."""
    extra: dict[str, object] = field(default_factory=dict)
    """What that command adds to the run record."""
    budget: Budget = field(init=False)
    first_serial: int = 1
    """More than 1 where an earlier process of this run has named attempts."""
    native: dict[str, Any] | None = None
    """The native program that runs under ThreadSanitizer, if one does: `Harness.to_data`."""
    native_core: PytorchTree | None = None
    """The tree whose own backend that program drives, if it is one."""
    tsan: Children | None = None
    """How children are put under ThreadSanitizer, with `--mps-tsan`."""
    progress: Drawn | None = None
    """What is drawn on the terminal while it runs, if anything is."""
    _supervisor: Supervisor | None = None
    _writer: RecordWriter | None = None

    def __post_init__(self) -> None:
        self.budget = Budget(self.settings.seconds)

    @property
    def folder_path(self) -> Path:
        return self.settings.results / self.run_id

    def replay_command(self, serial: int) -> str:
        """Return the command that runs an attempt of this run again."""
        return attempt_command("replay", self.folder_path, serial, self.config.rootpath)

    def show_command(self, serial: int) -> str:
        """Return the command that prints all that was recorded of an attempt."""
        return attempt_command("show", self.folder_path, serial, self.config.rootpath)

    @functools.cached_property
    def options_for_child(self) -> dict[str, Any]:
        """Return pytest's options for the session of a child that runs ordinary tests."""
        return options_for_child(self.config)

    @functools.cached_property
    def editable(self) -> dict[str, Path]:
        """Packages that are installed in place, outside of rootdir: the user's own code too."""
        root = self.config.rootpath
        return {
            name: folder for name, folder in editable_installs().items() if not folder.is_relative_to(root)
        }

    @property
    def trace_folders(self) -> tuple[str, ...]:
        return own_folders(self.config.rootpath, self.editable.values())

    @property
    def perturbed_line(self) -> str:
        """Return what has its lines perturbed and what has not, for the header; "" without perturbation."""
        if self.settings.perturb == "off":
            return ""
        own = ["files of this project", *(f"{name} (editable)" for name in self.editable)]
        more = [f"{name} (--mps-trace-modules)" for name in self.settings.trace_modules]
        out = "not those of other installed packages" if more else "not those of installed packages"
        way_out = "" if more else ": --mps-trace-modules=NAME adds one"
        return f"mps: perturbed lines: {', '.join([*own, *more])}; {out}{way_out}"

    @property
    def supervisor(self) -> Supervisor:
        assert self._supervisor is not None, "opened with the device"
        return self._supervisor

    def open_supervisor(self, device_library: str) -> Supervisor:
        """Start the processes that start children, in place of those that were started before."""
        self.close_supervisor()
        try:
            self.tsan = tsan.children_of(Path(device_library), self.say) if self.settings.tsan else None
            self._supervisor = Supervisor(
                device_library, tsan=self.tsan, attempts_per_process=self.settings.attempts_per_process
            )
        except IsolationError as error:
            raise pytest.UsageError(str(error)) from error
        atexit.register(self._supervisor.close)
        return self._supervisor

    @property
    def writer(self) -> RecordWriter:
        assert self._writer is not None, "records are opened before the first item"
        return self._writer

    def open_device(self) -> None:
        """Choose the device and probe it in a child; raise `pytest.UsageError` when it cannot be used."""
        given = worker_input(self.config).get("mps_device")
        make = tsan.build if self.settings.tsan else default_build
        try:
            self.device = open_device(
                self.settings,
                self.open_supervisor,
                self.say,
                given,
                make,
                sanitizer="thread" if self.settings.tsan else None,
            )
        except OptionError as error:
            raise pytest.UsageError(error.told(OPTION_PREFIX)) from error
        if self.tsan is not None:
            tsan.control(self.supervisor, self.tsan, sim=self.device.sim_spec, core=self.device.core_spec)
        self._check_sharing(self.device.name)
        self._check_source(self.device.torch)

    def say(self, text: str, **style: bool) -> None:
        """Write a line on the terminal, where there is one."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if self.progress is not None:
            self.progress.clear()
        if reporter is not None:
            reporter.write_line(f"mps: {text}", **style)

    def _check_source(self, fingerprint: dict[str, Any]) -> None:
        """Refuse a torch that is not a build of the given tree: results of the wrong build are worse than none."""
        source = self.settings.torch_source
        if source is None:
            return
        self.torch_mismatches = check_source(fingerprint, source)
        if self.torch_mismatches and not self.settings.allow_torch_mismatch:
            texts = "; ".join(self.torch_mismatches)
            is_tree = (source / "torch" / "csrc").is_dir()
            way_out = (
                "Rebuild and install it into this environment"
                if is_tree
                else "Name the tree that torch was built from"
            )
            raise pytest.UsageError(
                f"--mps-torch-source={source}: {texts}. {way_out}, or add --mps-allow-torch-mismatch, which the record then "
                "shows"
            )

    def check_torch(self) -> None:
        """Refuse to run where collecting has shown that this process has another torch than its children."""
        text = same_torch.difference(self.device.torch) if self.device is not None else None
        if text is not None:
            raise pytest.UsageError(text)

    def _check_sharing(self, name: str) -> None:
        if name in ("mps", "cuda") and xdist_workers(self.config) > 1 and not self.settings.share_device:
            raise pytest.UsageError(
                f"-n {xdist_workers(self.config)} with one {name} device: several workers load it at once, which "
                "changes the experiment; leave out -n, or add --mps-share-device if you want that"
            )

    def open_records(self, *, create: bool, worker: str | None = None) -> None:
        """Create or join the run's folder and write the run record; nothing is written before this."""
        device = self.device
        try:
            default_signatures()  # a mistake in the user's own is reported before the first attempt, not after a crash
            folder = (
                RunFolder.create(self.settings.results, self.run_id)
                if create
                else RunFolder.open(self.folder_path)
            )
            folder.probe()
            self._writer = RecordWriter(
                folder,
                on_lost=functools.partial(self.say, red=True),
                first_serial=_worker_number(worker) + self.first_serial,
                serial_step=max(1, xdist_workers(self.config)),
            )
            settings = {
                key: value if not isinstance(value, Path) else str(value)
                for key, value in asdict(self.settings).items()
            }
            self._write(
                "run",
                argv=[str(argument) for argument in self.config.invocation_params.args],
                rootdir=str(self.config.rootpath),
                sys_path=import_folders(self.config.rootpath),
                seed=self.settings.seed,
                device=device.name
                if device is not None
                else "core"
                if self.native_core is not None
                else "none",
                device_reason=device.reason if device is not None else self._no_device_reason,
                sim=device.sim.to_data() if device is not None and device.sim is not None else None,
                core=self._core_data,
                capabilities=sorted(device.capabilities) if device is not None else [],
                tsan=self.tsan.to_data() if self.tsan is not None else None,
                settings=settings,
                environment=host_environment(self.config.rootpath),
                torch=device.torch if device is not None else None,
                torch_mismatches=self.torch_mismatches,
                worker=worker,
                **({"harness": self.native} if self.native is not None else {}),
                **({"command": self.command, **self.extra} if self.command else {}),
            )
        except (RecordError, SignatureError) as error:
            raise pytest.UsageError(error.told(OPTION_PREFIX)) from error

    @property
    def _core_data(self) -> dict[str, object] | None:
        if self.device is not None and self.device.core is not None:
            return self.device.core.to_data()
        return self.native_core.to_data() if self.native_core is not None else None

    @property
    def _is_simulated(self) -> bool:
        native = self.native is not None and self.native["platform"] != "metal"
        return native or (self.device is not None and self.device.is_simulated)

    @property
    def _no_device_reason(self) -> str:
        if self.native is not None:
            return (
                "the native harness uses no torch device"
                if self.native_core is None
                else "the native cases drive the tree's core without Python"
            )
        return "ordinary tests only: no scenario ran"

    def journal(self, nodeid: str) -> None:
        """Record the ordinary test that is about to run: it runs in this process, which it may kill."""
        if self._writer is not None:
            self._write("journal", item=nodeid)

    def record(self, kind: Any, **fields: object) -> None:
        """Write one record and show it to `pytest_mps_record`."""
        self._write(kind, **fields)

    def _write(self, kind: Any, **fields: object) -> None:
        simulated = self._is_simulated
        if simulated or kind == "run":
            fields["simulated"] = simulated
        self.writer.write(kind, **fields)
        self.config.hook.pytest_mps_record(record={"kind": kind, "run": self.run_id, **fields})

    def close(self, exit_status: int) -> None:
        """Write the last record and end all helper processes."""
        self._close_records(int(exit_status))
        self.close_supervisor()

    def next_file(self) -> None:
        """Continue in a new file of records: a closed one can be folded when the disk fills up."""
        self.first_serial = self.writer.next_serial
        self._close_records(None)
        self.open_records(create=False)

    def _close_records(self, exit_status: int | None) -> None:
        if self._writer is not None:
            seconds = time.monotonic() - self.started
            self._write("run_end", seconds=seconds, exit_status=exit_status, verdicts=dict(self.verdicts))
            self._writer.close()
            self._writer = None

    def close_supervisor(self) -> None:
        if self._supervisor is not None:
            atexit.unregister(self._supervisor.close)
            self._supervisor.close()
            self._supervisor = None


def _worker_number(worker: str | None) -> int:
    """Return 3 for the pytest-xdist worker "gw3", 0 without one."""
    digits = (worker or "").removeprefix("gw")
    return int(digits) if digits.isdigit() else 0


RUN_KEY = pytest.StashKey[Run]()


def run_of(config: pytest.Config) -> Run:
    return config.stash[RUN_KEY]
