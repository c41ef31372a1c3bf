"""Runs attempts and references of entries on the simulated device, under isolation, with records."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.commands.power.allocation import ROTATE
from stress.commands.power.native import NativeAttempts
from stress.commands.power.native import NativeCase
from stress.commands.power.outcome import Kind
from stress.commands.power.outcome import Outcome
from stress.commands.power.outcome import classify
from stress.commands.power.runnable import Runnable
from stress.commands.power.subject import Subject
from stress.isolate.case_runner import CaseRunner
from stress.isolate.case_runner import CaseSpec
from stress.isolate.case_runner import References
from stress.isolate.case_runner import Rotation
from stress.isolate.case_runner import recorder
from stress.isolate.pace import DEADLINE_S_MIN
from stress.isolate.pace import STALL_S
from stress.isolate.pace import Pace
from stress.isolate.supervisor import ChildRun
from stress.model import seeds
from stress.model.spec import ChildSpec
from stress.model.spec import SimSpec
from stress.record import RecordWriter

PROCESS_DEADLINE_S_MIN = 30.0
"""A process scenario starts an interpreter and imports torch, which a busy machine takes its time for."""
REFERENCE_DEADLINE_S = 60.0


@dataclass(frozen=True)
class Simulator:
    """The library of the simulated device; None in its place runs the scenarios on the CPU."""

    library: str
    key: str

    def spec(self, subject: Subject) -> SimSpec:
        sim = subject.sim
        return SimSpec(self.library, self.key, sim.design, sim.configure_text(), sim.schedule)


@dataclass(frozen=True)
class Attempted:
    """One attempt and what it cost."""

    outcome: Outcome
    seconds: float
    strikes: int | None
    end: Mapping[str, Any]


class EntryRunner:
    """One place to run everything on; nothing here knows about rates."""

    def __init__(
        self,
        run_child: Callable[[ChildSpec, int], ChildRun],
        writer: RecordWriter,
        simulator: Simulator | None,
        seed: int,
        native: NativeAttempts | None = None,
    ) -> None:
        self._simulator, self._seed, self._native = simulator, seed, native
        self._runner = CaseRunner(run_child, writer, recorder(writer, simulated=True))
        self._numbers: dict[str, int] = defaultdict(int)
        self._paces: dict[str, Pace] = {}

    @property
    def device(self) -> str:
        return "sim" if self._simulator is not None else "cpu"

    def attempt(
        self, subject: Subject, what: Runnable | NativeCase, references: References | None
    ) -> Attempted:
        """Run one attempt of an entry with the subject armed."""
        if isinstance(what, NativeCase):
            return self._attempt_native(subject, what)
        case = self._case(subject, what)
        number = self._numbers[case.item]
        self._numbers[case.item] += 1
        clock = time.monotonic()
        _, _, end = self._runner.attempt(
            case, number, references or References(), lots=self._lots(subject, number)
        )
        seconds = time.monotonic() - clock
        outcome = classify(subject.fault, end, what.acceptable)
        if outcome.kind == Kind.CLEAN:
            self._pace(what).add(seconds)
        return Attempted(outcome, seconds, strikes_of(end, subject), end)

    def _attempt_native(self, subject: Subject, what: NativeCase) -> Attempted:
        assert self._native is not None, "entries of the native suite are dropped where it cannot run"
        item = f"{subject.label}::{what.name}"
        number = self._numbers[item]
        self._numbers[item] += 1
        clock = time.monotonic()
        outcome, strikes, end = self._native.attempt(subject, what, number)
        return Attempted(outcome, time.monotonic() - clock, strikes, end)

    def references(self, subject: Subject, what: Runnable) -> References:
        """Make the reference of an entry's crews in a separate child, with the subject armed."""
        return self._runner.references(self._case(subject, what), lots=self._lots(subject, 0))

    def _pace(self, what: Runnable) -> Pace:
        """Return the pace of an entry: hangs cost the deadline, so it follows what the entry really takes."""
        if what.name not in self._paces:
            least_s = PROCESS_DEADLINE_S_MIN if what.is_process else DEADLINE_S_MIN
            self._paces[what.name] = Pace(least_s=least_s, expected_s=what.entry.seconds)
        return self._paces[what.name]

    def _lots(self, subject: Subject, number: int) -> int:
        return seeds.derive(self._seed, subject.label, number)

    def _case(self, subject: Subject, what: Runnable) -> CaseSpec:
        entry = what.entry
        command = _command(subject, what, self._seed)
        return CaseSpec(
            item=f"power::{subject.label}::{what.name}",
            child=ChildSpec(
                "process" if what.is_process else "crew",
                device=self.device,
                scenario=what.ref,
                threads=entry.threads,
                iterations=entry.iterations,
                # Inputs are those of the entry, so that twins can share references; lots and delays are the attempt's.
                seed=seeds.derive(self._seed, what.name),
                shares_process=what.shares_process,
                deadline_s=self._pace(what).deadline_s,
                stall_s=STALL_S,
                sim=self._simulator.spec(subject) if self._simulator is not None else None,
            ),
            rotation=_rotation(what),
            reference_deadline_s=REFERENCE_DEADLINE_S,
            command=lambda _: command,
            start={"params": dict(entry.params), "iterations": what.iterations},
            names={"entry": what.name, **subject.record_fields()},
            workers=what.workers,
        )


def strikes_of(end: Mapping[str, Any], subject: Subject) -> int | None:
    """Return how often the fault struck; None where the child died before it could report, or there is no fault."""
    if "strikes" not in end or subject.fault is None:
        return None
    return int(end["strikes"].get(subject.fault.name, 0))


def _rotation(what: Runnable) -> Rotation:
    entry = what.entry
    mode = "" if entry.perturb == ROTATE else entry.perturb
    return Rotation(
        entry.level,
        mode="none" if what.is_process else mode,
        readback="" if entry.readback == ROTATE else entry.readback,
    )


def _command(subject: Subject, what: Runnable, seed: int) -> str:
    """Return the nearest pytest command: it rotates modes and readbacks that an entry may have fixed."""
    entry = what.entry
    parts = [
        "pytest",
        f"{Path(what.ref.path).parent.name}/{entry.scenario}",
        f"--mps-threads={entry.threads}",
    ]
    parts += [f"--mps-seed={seed:#x}", f"--mps-perturb={entry.level}", "--mps-device=sim"]
    if entry.iterations is not None:
        parts.append(f"--mps-iterations={entry.iterations}")
    return " ".join([*parts, *subject.sim.command_options()])
