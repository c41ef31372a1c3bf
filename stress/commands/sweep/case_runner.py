"""Runs one operator with one dtype: its reference, an attempt, and where that fails more of them and the control."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.child import perturb
from stress.child.tasks import ALONE_RAISES
from stress.commands.sweep.options import SweepOptions
from stress.isolate.attempt import Attempt
from stress.isolate.attempt_runner import AttemptRunner
from stress.isolate.attempt_runner import remove_references
from stress.isolate.device_choice import DeviceInfo
from stress.isolate.supervisor import ChildRun
from stress.model import seeds
from stress.model.spec import HANGS_MAX
from stress.model.spec import READBACKS
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from stress.model.verdict import Verdict
from stress.model.verdict import worst
from stress.record import RecordWriter

DEADLINE_S = 60.0
REFERENCE_DEADLINE_S = 120.0
ATTEMPTS_OF_FAILING = 5
"""One attempt is made of each case; a failing one gets this many, and as many with one thread."""
_PERTURB_LEVEL = "low"


@dataclass(frozen=True)
class Case:
    """One operator with one dtype."""

    op: str
    dtype: str

    @property
    def item(self) -> str:
        return f"sweep::{self.op}::{self.dtype}"


@dataclass
class Result:
    """What became of a case."""

    case: Case
    verdict: Verdict
    headline: str
    samples: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    controls: list[Attempt] = field(default_factory=list)
    alone: bool = False
    """The sequential run was no reference: what the headline says, one thread alone gets."""
    command: str = ""
    seconds: float = 0.0

    @property
    def failures(self) -> int:
        return sum(one.judged.verdict.is_failure for one in self.attempts)

    @property
    def counted(self) -> int:
        return sum(one.judged.verdict.enters_rate for one in self.attempts)

    @property
    def control_failures(self) -> int:
        return sum(one.judged.verdict.is_failure for one in self.controls)

    @property
    def word(self) -> str:
        """Return ok, refused (one thread alone gets an error, too), or the verdict."""
        if self.verdict.is_green:
            return "ok"
        is_refused = self.alone and self.verdict == Verdict.ERROR and ALONE_RAISES in self.headline
        return "refused" if is_refused else self.verdict.word


class Bench:
    """Runs cases one after another."""

    def __init__(
        self,
        run_child: Callable[[ChildSpec, int], ChildRun],
        writer: RecordWriter,
        device: DeviceInfo,
        options: SweepOptions,
    ) -> None:
        self._writer, self._device, self._options = writer, device, options
        self._runner = AttemptRunner(run_child, self._record)

    def run(self, case: Case) -> Result:
        """Run a case to its verdict."""
        started = time.monotonic()
        command = self._command(case)
        reference, run = self._attempt(case, "reference", 0, ())
        path = str(run.spec.file("reference"))
        judged = reference.judged
        result = Result(case, judged.verdict, judged.headline, alone=True, command=command)
        try:
            if judged.verdict.is_green:
                result.samples = int((run.result or {}).get("slots", 0)) // self._options.threads
                result.alone = False
                self._crews(result, path)
        finally:
            remove_references([path])
        result.seconds = time.monotonic() - started
        self._record_item(result)
        return result

    def _crews(self, result: Result, reference: str) -> None:
        case = result.case
        for number in range(ATTEMPTS_OF_FAILING):
            attempt, _ = self._attempt(case, "crew", number, (reference,))
            result.attempts.append(attempt)
            hangs = sum(one.judged.verdict == Verdict.HANG for one in result.attempts)
            if (number == 0 and not attempt.judged.verdict.is_failure) or hangs >= HANGS_MAX:
                break
        result.verdict = worst(one.judged.verdict for one in result.attempts)
        shown = next(one for one in result.attempts if one.judged.verdict == result.verdict)
        signature = f" [{shown.signature}]" if shown.signature else ""
        result.headline = "" if result.verdict.is_green else f"{shown.judged.headline}{signature}"
        if result.verdict.is_failure:
            result.controls = [
                self._attempt(case, "control", number, (reference,))[0]
                for number in range(len(result.attempts))
            ]

    def _attempt(
        self, case: Case, role: str, number: int, references: tuple[str, ...]
    ) -> tuple[Attempt, ChildRun]:
        options, is_reference = self._options, role == "reference"
        spec = ChildSpec(
            kind="reference" if is_reference else "crew",
            folder=str(self._writer.folder.path),
            name=self._writer.side_stem(),
            device=self._device.name,
            scenario=_REF,
            overrides={"op": case.op, "dtype_name": case.dtype},
            threads=options.threads,
            seed=seeds.derive(options.seed, case.item),
            attempt=number,
            one_thread=role == "control",
            perturb_mode="none"
            if is_reference
            else perturb.mode_for(_rotation(case, options) + number, _PERTURB_LEVEL),
            perturb_level=_PERTURB_LEVEL,
            readback="every" if is_reference else READBACKS[number % len(READBACKS)],
            references=references,
            deadline_s=REFERENCE_DEADLINE_S if is_reference else DEADLINE_S,
            sys_path=tuple(sys.path),
            cwd=os.getcwd(),
            sim=self._device.sim.spec if self._device.sim is not None else None,
        )
        start = {
            "scenario": _REF.qualname,
            "params": {"op": case.op, "dtype": case.dtype},
            "threads": spec.threads,
            "iterations": 0,  # as many as there are samples, which the child counts
            "seed": spec.seed,
            "command": self._command(case),
            "perturb": spec.perturb_mode,
            "readback": spec.readback,
        }
        identity = {"item": case.item, "role": role, "attempt": number}
        workers = 0 if is_reference else spec.threads
        attempt, run, _ = self._runner.run(spec, workers, identity, start)
        return attempt, run

    def _command(self, case: Case) -> str:
        options = self._options
        parts = [
            "mps-stress",
            "sweep",
            f"--device={self._device.name}",
            f"--ops={case.op}",
            f"--dtypes={case.dtype}",
        ]
        parts += [f"--threads={options.threads}", f"--seed={options.seed:#x}"]
        if options.sim.faults:
            parts.append("--sim-faults=" + ",".join(map(str, options.sim.faults)))
        return shlex.join(parts)

    def _record_item(self, result: Result) -> None:
        self._record(
            "item",
            item=result.case.item,
            verdict=str(result.verdict),
            seconds=result.seconds,
            attempts=len(result.attempts),
            counted=result.counted,
            failures=result.failures,
            verdicts=dict(Counter(str(one.judged.verdict) for one in result.attempts)),
            control_attempts=len(result.controls),
            control_failures=result.control_failures,
            headline=result.headline,
        )

    def _record(self, kind: Any, **fields: object) -> None:
        if self._device.sim is not None:
            fields["simulated"] = True
        self._writer.write(kind, **fields)


_REF = ScenarioRef(
    str(Path(__file__).with_name("scenario.py")), "stress.commands.sweep.scenario", "OperatorFromThreads", ()
)


def _rotation(case: Case, options: SweepOptions) -> int:
    """Return where a case begins in the rotation of modes, since most have one attempt only."""
    return seeds.derive(options.seed, "mode", case.item) % 9
