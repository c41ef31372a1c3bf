"""Attempts of one recorded item, as it was or made smaller, each in a separate child and with a record."""

from __future__ import annotations

import os
import statistics
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.commands import CommandError
from stress.commands.replay.failure_kind import Kind
from stress.commands.replay.recorded import Recorded
from stress.commands.replay.resolve import Resolved
from stress.commands.session import Session
from stress.device.operator_patch import Operator
from stress.device.sim.settings import SimSettings
from stress.isolate.attempt_runner import AttemptRunner
from stress.isolate.attempt_runner import remove_references
from stress.isolate.device_choice import DeviceError
from stress.isolate.device_choice import DeviceInfo
from stress.isolate.supervisor import Supervisor
from stress.model.errors import BrokenScenario
from stress.model.plan import Plan
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from stress.plugin.item_runner import REFERENCE_DEADLINE_FACTOR
from stress.record import RecordWriter
from stress.scenario.file import load_scenario
from stress.scenario.scenario import waves_of

STALL_S = 1.2
"""On the simulated device, every thread asleep for so long is a deadlock. A real one may keep all of them waiting."""
DEADLINE_S_MIN = 5.0
DEADLINE_FACTOR = 20.0
_PACE_ATTEMPTS = 21


@dataclass(frozen=True)
class Case:
    """One configuration of the scenario; smaller ones are made with `dataclasses.replace`."""

    ref: ScenarioRef
    threads: int
    iterations: int | None
    perturb: str
    perturb_level: str
    readback: str
    one_thread: bool = False
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference_key(self) -> str:
        """Return what references depend on: neither on how the crew is disturbed nor on when it is read back."""
        return repr((self.ref.indices, self.threads, self.iterations, sorted(self.overrides.items())))

    @classmethod
    def recorded(cls, recorded: Recorded, what: Resolved) -> Case:
        """Return the configuration of the recorded attempt."""
        return cls(
            what.ref,
            recorded.threads,
            recorded.iterations,
            recorded.perturb,
            recorded.perturb_level,
            recorded.readback,
            one_thread=recorded.role == "control",
        )

    def scenario(self, device: str) -> Any:
        """Return the scenario with this configuration; raise `BrokenScenario`."""
        return load_scenario(
            self.ref, threads=self.threads, device_type=device, overrides=dict(self.overrides)
        )


@dataclass(frozen=True)
class Attempted:
    """What one attempt came to."""

    kind: Kind
    seconds: float
    end: Mapping[str, Any]


class Bench:
    """Runs attempts of one item on the device that was recorded. Open it with `open_bench`."""

    def __init__(
        self,
        recorded: Recorded,
        what: Resolved,
        device: DeviceInfo,
        supervisor: Supervisor,
        writer: RecordWriter,
    ) -> None:
        self.recorded, self.what, self.device, self.writer = recorded, what, device, writer
        self._runner = AttemptRunner(supervisor.run, self._record)
        self._references: dict[str, tuple[str, ...]] = {}
        self._pace_s: deque[float] = deque(maxlen=_PACE_ATTEMPTS)
        self._index = 0

    @property
    def folder(self) -> Path:
        return self.writer.folder.path

    def attempt(self, case: Case, lots: int, *, item: str, deadline_s: float | None = None) -> Attempted:
        """Run one attempt. `lots` is what the seeds of schedules and of planted faults follow from.

        Raise `BrokenScenario` where the configuration has no usable reference.
        """
        kind = "process" if self.what.is_process else "crew"
        role = "control" if case.one_thread else "crew"
        references = () if self.what.is_process else self._reference(case, item)
        spec = ChildSpec(
            **self._common(kind, case),
            attempt=lots,
            references=references,
            one_thread=case.one_thread,
            perturb_mode=case.perturb,
            perturb_level=case.perturb_level,
            trace_modules=self.recorded.trace_modules,
            readback=case.readback,
            deadline_s=deadline_s or self.recorded.deadline_s,
            stall_s=STALL_S if self.recorded.simulated else 0.0,
            env=dict(self.what.env),
        )
        _, _, end = self._run(spec, case, role, item)
        if Kind.of(end).verdict == "pass":
            self._pace_s.append(end["seconds"])
        return Attempted(Kind.of(end), float(end["seconds"]), end)

    def pace_deadline_s(self) -> float:
        """Return a deadline that follows from what clean attempts take: a hang costs all of it."""
        if len(self._pace_s) < 3:
            return self.recorded.deadline_s
        pace_s = DEADLINE_FACTOR * statistics.median(self._pace_s)
        return min(self.recorded.deadline_s, max(DEADLINE_S_MIN, pace_s))

    def close(self) -> None:
        for paths in self._references.values():
            remove_references(paths)

    def _reference(self, case: Case, item: str) -> tuple[str, ...]:
        """Return the reference files of a configuration, made once: one for each of the scenario's kernel paths."""
        key = case.reference_key
        if key in self._references:
            return self._references[key]
        scenario = case.scenario(self.device.name)
        paths: list[str] = []
        for number, extra in enumerate([{}, *map(dict, scenario.reference_envs)]):
            spec = ChildSpec(
                **self._common("reference", case),
                attempt=number,
                deadline_s=self.recorded.deadline_s * REFERENCE_DEADLINE_FACTOR,
                env={**self.what.env, **extra},
                device_only=bool(number),
            )
            attempt, path, _ = self._run(spec, case, "reference", item)
            paths.append(path)
            if not attempt.judged.verdict.is_green:
                remove_references(paths)
                raise BrokenScenario(f"no reference: {attempt.judged.verdict}: {attempt.judged.headline}")
        self._references[key] = tuple(paths)
        return self._references[key]

    def _common(self, kind: str, case: Case) -> dict[str, Any]:
        sim = self.device.sim
        return {
            "kind": kind,
            "folder": str(self.folder),
            "name": self.writer.side_stem(),
            "device": self.device.name,
            "scenario": case.ref,
            "threads": case.threads,
            "iterations": case.iterations,
            "overrides": dict(case.overrides),
            "seed": self.recorded.seed,
            "streams": self.recorded.streams,
            "sys_path": tuple(sys.path),
            "cwd": os.getcwd(),
            "sim": sim.spec if sim is not None else None,
        }

    def _run(self, spec: ChildSpec, case: Case, role: str, item: str) -> Any:
        scenario = case.scenario(self.device.name)
        waves = [] if self.what.is_process else waves_of(scenario, case.iterations)
        workers = Plan.make(waves).workers if spec.kind == "crew" else 0
        identity = {"item": item, "role": role, "attempt": self._index}
        self._index += 1
        start = {
            "scenario": case.ref.qualname,
            "params": dict(self.what.params),
            "threads": case.threads,
            "iterations": max((iterations for _, iterations in waves), default=1),
            "seed": spec.seed,
            "command": f"mps-stress replay {self.recorded.name}",
            "perturb": spec.perturb_mode,
            "readback": spec.readback,
            "overrides": spec.overrides,
        }
        attempt, run, end = self._runner.run(spec, workers, identity, start)
        return attempt, str(run.spec.file("reference")), end

    def _record(self, kind: Any, **fields: object) -> None:
        self.writer.write(kind, **fields, **({"simulated": True} if self.recorded.simulated else {}))


def open_bench(
    opened: Session, recorded: Recorded, what: Resolved, command: str, *, results: Path, rootdir: Path
) -> Bench:
    """Open the recorded device and a run folder for what follows; the session closes them."""
    wanted = _Wanted(recorded.device, recorded.sim or SimSettings())
    try:
        device, supervisor = opened.open_device(wanted)
    except DeviceError as error:
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
    bench = Bench(recorded, what, device, supervisor, writer)
    opened.callback(bench.close)
    return bench


@dataclass(frozen=True)
class _Wanted:
    """The device that was recorded."""

    device: str
    sim: SimSettings
    operators: tuple[Operator, ...] = ()
