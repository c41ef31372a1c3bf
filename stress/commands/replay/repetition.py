"""Attempts of one recorded item, as it was or made smaller, each in a separate child and with a record."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.child.perturb.own_code import own_folders
from stress.commands import CommandError
from stress.commands.replay.failure_kind import FailureKind
from stress.commands.replay.recorded import Recorded
from stress.commands.replay.resolve import Resolved
from stress.commands.session import Session
from stress.device.sim.settings import SimSettings
from stress.isolate.case_runner import REFERENCE_DEADLINE_FACTOR
from stress.isolate.case_runner import CaseRunner
from stress.isolate.case_runner import CaseSpec
from stress.isolate.case_runner import References
from stress.isolate.case_runner import Rotation
from stress.isolate.case_runner import recorder
from stress.isolate.device_choice import DeviceInfo
from stress.isolate.device_choice import WantedDevice
from stress.isolate.pace import STALL_S
from stress.isolate.pace import Pace
from stress.isolate.supervisor import Supervisor
from stress.model.errors import BrokenScenario
from stress.model.errors import OptionError
from stress.model.plan import Plan
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from stress.record import RecordWriter
from stress.record.folder import attempt_command
from stress.scenario.file import load_scenario
from stress.scenario.scenario import waves_of

_PACE_CLEAN_MIN = 3


@dataclass(frozen=True)
class Configuration:
    """One configuration of the scenario; smaller ones are made with `dataclasses.replace`."""

    ref: ScenarioRef
    threads: int
    iterations: int | None
    perturb: str
    perturb_level: str
    readback: str
    completion: str = "in_order"
    order: str = ""
    one_thread: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference_key(self) -> str:
        """Return what references depend on: neither on how the crew is disturbed nor on when it is read back."""
        return repr((self.ref.indices, self.threads, self.iterations, sorted(self.overrides.items())))

    @classmethod
    def recorded(cls, recorded: Recorded, what: Resolved) -> Configuration:
        """Return the configuration of the recorded attempt."""
        return cls(
            what.ref,
            recorded.threads,
            recorded.iterations,
            recorded.perturb,
            recorded.perturb_level,
            recorded.readback,
            recorded.completion,
            recorded.order,
            one_thread=recorded.role == "control",
        )

    def scenario(self, device: str) -> Any:
        """Return the scenario with this configuration; raise `BrokenScenario`."""
        return load_scenario(
            self.ref, threads=self.threads, device_type=device, overrides=dict(self.overrides)
        )


@dataclass(frozen=True)
class Repeated:
    """What one attempt came to."""

    kind: FailureKind
    end: Mapping[str, Any]


class Repetition:
    """Runs attempts of one item on the device that was recorded. Open it with `open_repetition`."""

    def __init__(
        self,
        recorded: Recorded,
        what: Resolved,
        device: DeviceInfo,
        supervisor: Supervisor,
        writer: RecordWriter,
        rootdir: Path,
        *,
        shares_process: bool = False,
        numbers: Iterator[int] | None = None,
    ) -> None:
        """`numbers` are those of attempts, where other repetitions write the same records."""
        self._trace_folders = own_folders(rootdir)
        self._shares_process = shares_process
        self.recorded, self.what, self.device, self.writer = recorded, what, device, writer
        self._runner = CaseRunner(supervisor.run, writer, recorder(writer, simulated=recorded.simulated))
        self._references: dict[str, References] = {}
        self._pace = Pace(most_s=recorded.deadline_s, clean_min=_PACE_CLEAN_MIN)
        self._numbers = itertools.count() if numbers is None else numbers
        self._command = attempt_command("replay", recorded.folder, recorded.serial, rootdir)

    @property
    def folder(self) -> Path:
        return self.writer.folder.path

    def attempt(
        self, case: Configuration, lots: int, *, item: str, deadline_s: float | None = None
    ) -> Repeated:
        """Run one attempt. `lots` is what the seeds of schedules and of planted faults follow from.

        Raise `BrokenScenario` where the configuration has no usable reference.
        """
        spec = self._spec(case, item, deadline_s or self.recorded.deadline_s)
        references = References() if self.what.is_process else self._reference(case, spec)
        role = "control" if case.one_thread else "crew"
        ended = self._runner.attempt(spec, next(self._numbers), references, role=role, lots=lots)
        if ended.attempt.judged.verdict.is_green:
            self._pace.add(ended.attempt.seconds)
        return Repeated(FailureKind.of(ended.end), ended.end)

    def again(self) -> Repeated:
        """Run the recorded attempt once more, as it was; raise as `attempt` does."""
        recorded = self.recorded
        return self.attempt(Configuration.recorded(recorded, self.what), recorded.attempt, item=recorded.item)

    def pace_deadline_s(self) -> float:
        """Return a deadline that follows from what clean attempts take: a hang costs all of it."""
        return self._pace.deadline_s

    def close(self) -> None:
        for references in self._references.values():
            references.remove()

    def _reference(self, case: Configuration, spec: CaseSpec) -> References:
        """Return the references of a configuration, made once: one for each of the scenario's kernel paths."""
        key = case.reference_key
        if key not in self._references:
            first = next(self._numbers)
            made = self._runner.references(spec, number=first)
            for _ in made.paths[1:]:
                next(self._numbers)
            if not made.is_usable:
                made.remove()
                raise BrokenScenario(made.problem)
            self._references[key] = made
        return self._references[key]

    def _spec(self, case: Configuration, item: str, deadline_s: float) -> CaseSpec:
        recorded, what = self.recorded, self.what
        scenario = case.scenario(self.device.name)
        waves = [] if what.is_process else waves_of(scenario, case.iterations)
        try:
            workers = Plan.make(waves).workers if waves else 0
        except ValueError as error:
            raise BrokenScenario(str(error)) from None
        return CaseSpec(
            item=item,
            child=ChildSpec(
                "process" if what.is_process else "crew",
                device=self.device.name,
                scenario=case.ref,
                threads=case.threads,
                iterations=case.iterations,
                overrides=dict(case.overrides),
                seed=recorded.seed,
                shares_process=self._shares_process,
                streams=recorded.streams,
                trace_modules=recorded.trace_modules,
                trace_folders=self._trace_folders,
                deadline_s=deadline_s,
                stall_s=STALL_S if recorded.simulated else 0.0,
                env=dict(what.env),
                sim=self.device.sim_spec,
                core=self.device.core_spec,
            ),
            rotation=Rotation(
                case.perturb_level,
                mode=case.perturb,
                readback=case.readback,
                completion=case.completion,
                order=case.order,
                order_all=True,
            ),
            reference_deadline_s=recorded.deadline_s * REFERENCE_DEADLINE_FACTOR,
            command=lambda _: self._command,
            start={
                "params": dict(what.params),
                "iterations": max((iterations for _, iterations in waves), default=1),
                "overrides": dict(case.overrides),
            },
            workers=workers,
            reference_envs=() if what.is_process else tuple(scenario.reference_envs),
        )


@dataclass(frozen=True)
class History:
    """The repetition of an attempt, and of those that its process had served before."""

    supervisor: Supervisor
    before: tuple[Repetition, ...]
    last: Repetition

    def attempt(self) -> Repeated | None:
        """Run all of them in one fresh process; None where one before the last was not green, which ends the process."""
        self.supervisor.end_crews()
        for one in self.before:
            if one.again().kind.is_failure:
                return None
        repeated = self.last.again()
        return repeated if repeated.end["age"] == len(self.before) else None


def open_history(
    opened: Session,
    recorded: Recorded,
    what: Resolved,
    before: Sequence[tuple[Recorded, Resolved]],
    *,
    results: Path,
    rootdir: Path,
) -> History:
    """Open what `open_repetition` does, for an attempt and those before it, which share a process."""
    numbers = itertools.count()
    device, supervisor, writer = _open(
        opened, recorded, what, "replay", results, rootdir, attempts_per_process=len(before) + 1
    )
    made = [
        Repetition(one, of, device, supervisor, writer, rootdir, shares_process=True, numbers=numbers)
        for one, of in (*before, (recorded, what))
    ]
    for one in made:
        opened.callback(one.close)
    return History(supervisor, tuple(made[:-1]), made[-1])


def open_repetition(
    opened: Session, recorded: Recorded, what: Resolved, command: str, *, results: Path, rootdir: Path
) -> Repetition:
    """Open the recorded device and a run folder for what follows; the session closes them."""
    device, supervisor, writer = _open(opened, recorded, what, command, results, rootdir)
    repetition = Repetition(recorded, what, device, supervisor, writer, rootdir)
    opened.callback(repetition.close)
    return repetition


def _open(
    opened: Session,
    recorded: Recorded,
    what: Resolved,
    command: str,
    results: Path,
    rootdir: Path,
    attempts_per_process: int | None = None,
) -> tuple[DeviceInfo, Supervisor, RecordWriter]:
    wanted = WantedDevice(
        recorded.device, recorded.sim or SimSettings(), recorded.pytorch, recorded.core_operators
    )
    try:
        device, supervisor = opened.open_device(wanted, attempts_per_process=attempts_per_process)
    except OptionError as error:
        raise CommandError(
            f"{recorded.name} ran on {recorded.device}, which cannot be used here: {error.reason}"
        ) from None
    missing = [name for name in what.cls.requires if name not in device.capabilities]
    if missing:
        raise CommandError(f"{device.name} here has no {', '.join(missing)}, which {what.nodeid} needs")
    sim = asdict(recorded.sim) if recorded.sim is not None else None
    writer = opened.open_records(
        command,
        results,
        seed=recorded.root_seed,
        settings={"perturb": recorded.perturb_level, "streams": recorded.streams, "sim": sim},
        device=device,
        rootdir=rootdir,
        replays=recorded.name,
        device_reason="as recorded",
        simulated=recorded.simulated,
    )
    return device, supervisor, writer
