"""Runs attempts and references of entries on the simulated device, under isolation, with records."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections import defaultdict
from collections import deque
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

from stress.child import perturb
from stress.commands.power.allocation import ROTATE
from stress.commands.power.outcome import Kind
from stress.commands.power.outcome import Outcome
from stress.commands.power.outcome import classify
from stress.commands.power.runnable import Runnable
from stress.commands.power.subject import Subject
from stress.isolate.attempt_runner import AttemptRunner
from stress.isolate.attempt_runner import remove_references
from stress.isolate.supervisor import ChildRun
from stress.model import seeds
from stress.model.spec import READBACKS
from stress.model.spec import ChildSpec
from stress.model.spec import SimSpec
from stress.record import RecordWriter

DEADLINE_S_MIN = 5.0
DEADLINE_FACTOR = 20.0
"""The deadline of an attempt, in medians of that entry's clean attempts: a busy machine must not look like a hang."""
STALL_S = 1.2
"""Every thread asleep for so long is a deadlock: no scenario of the
allocation sleeps, yields end in 20 ms, and the framework itself waits 1 s for a thread that a step left behind."""
PROCESS_DEADLINE_S_MIN = 30.0
"""A process scenario starts an interpreter and imports torch, which a busy machine takes its time for."""
REFERENCE_DEADLINE_S = 60.0
_PACE_ATTEMPTS = 21


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


@dataclass(frozen=True)
class Reference:
    """What a crew is compared with; without a path it cannot be, and `problem` says why."""

    path: str
    seconds: float
    problem: str = ""


class Bench:
    """One place to run everything on; nothing here knows about rates."""

    def __init__(
        self,
        run_child: Callable[[ChildSpec, int], ChildRun],
        writer: RecordWriter,
        simulator: Simulator | None,
        seed: int,
    ) -> None:
        self._writer, self._simulator, self._seed = writer, simulator, seed
        self._runner = AttemptRunner(run_child, writer.write)
        self._numbers: dict[str, int] = defaultdict(int)
        self._pace_s: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_PACE_ATTEMPTS))

    @property
    def device(self) -> str:
        return "sim" if self._simulator is not None else "cpu"

    def attempt(self, subject: Subject, what: Runnable, reference: Reference | None) -> Attempted:
        """Run one attempt of an entry with the subject armed."""
        item = self._item(subject, what)
        number = self._numbers[item]
        self._numbers[item] += 1
        spec = self._spec("process" if what.is_process else "crew", subject, what, number)
        spec = replace(
            spec,
            references=(reference.path,) if reference is not None else (),
            perturb_mode=_perturb_mode(what, number),
            readback=_readback(what, number),
            deadline_s=self.deadline_s(what),
            stall_s=STALL_S,
        )
        _, end, seconds = self._run(spec, subject, what, item, "crew", number)
        outcome = classify(subject.fault, end, what.acceptable)
        if outcome.kind == Kind.CLEAN:
            self._pace_s[what.name].append(seconds)
        return Attempted(outcome, seconds, strikes_of(end, subject), end)

    def deadline_s(self, what: Runnable) -> float:
        """Return how long an attempt may take: hangs cost it, so it follows what the entry really takes."""
        pace_s = self._pace_s[what.name]
        median_s = max(what.entry.seconds, statistics.median(pace_s) if pace_s else 0.0)
        least_s = PROCESS_DEADLINE_S_MIN if what.is_process else DEADLINE_S_MIN
        return max(least_s, DEADLINE_FACTOR * median_s)

    def reference(self, subject: Subject, what: Runnable) -> Reference:
        """Make the reference of an entry in a separate child, with the subject armed."""
        item = self._item(subject, what)
        spec = replace(self._spec("reference", subject, what, 0), deadline_s=REFERENCE_DEADLINE_S)
        run, end, seconds = self._run(spec, subject, what, item, "reference", 0)
        outcome = classify(None, end, {})
        problem = "" if outcome.kind == Kind.CLEAN else f"no reference: {end['verdict']}: {end['headline']}"
        return Reference(str(run.spec.file("reference")), seconds, problem)

    def drop(self, reference: Reference) -> None:
        remove_references([reference.path])

    def _item(self, subject: Subject, what: Runnable) -> str:
        return f"power::{subject.label}::{what.name}"

    def _spec(self, kind: str, subject: Subject, what: Runnable, number: int) -> ChildSpec:
        entry = what.entry
        return ChildSpec(
            kind=kind,
            folder=str(self._writer.folder.path),
            name=self._writer.side_stem(),
            device=self.device,
            scenario=what.ref,
            threads=entry.threads,
            iterations=entry.iterations,
            # Inputs are those of the entry, so that twins can share references; lots and delays are the attempt's.
            seed=seeds.derive(self._seed, what.name),
            attempt=seeds.derive(self._seed, subject.label, number),
            perturb_level=entry.level,
            sys_path=tuple(sys.path),
            cwd=os.getcwd(),
            sim=self._simulator.spec(subject) if self._simulator is not None else None,
        )

    def _run(
        self, spec: ChildSpec, subject: Subject, what: Runnable, item: str, role: str, number: int
    ) -> tuple[ChildRun, dict[str, Any], float]:
        identity = {"item": item, "role": role, "attempt": number, "entry": what.name, "simulated": True}
        identity |= subject.record_fields()
        start = {
            "scenario": what.ref.qualname,
            "params": dict(what.entry.params),
            "threads": what.entry.threads,
            "iterations": what.iterations,
            "seed": spec.seed,
            "command": _command(subject, what, self._seed),
            "perturb": spec.perturb_mode,
            "readback": spec.readback,
        }
        clock = time.monotonic()
        workers = what.workers if spec.kind == "crew" else 0
        _, run, end = self._runner.run(spec, workers, identity, start)
        return run, end, time.monotonic() - clock


def strikes_of(end: Mapping[str, Any], subject: Subject) -> int | None:
    """Return how often the fault struck; None where the child did not live to tell, or there is no fault."""
    if "strikes" not in end or subject.fault is None:
        return None
    return int(end["strikes"].get(subject.fault.name, 0))


def _perturb_mode(what: Runnable, number: int) -> str:
    entry = what.entry
    if what.is_process:
        return "none"
    return perturb.mode_for(number, entry.level) if entry.perturb == ROTATE else entry.perturb


def _readback(what: Runnable, number: int) -> str:
    readback = what.entry.readback
    return READBACKS[number % len(READBACKS)] if readback == ROTATE else readback


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
