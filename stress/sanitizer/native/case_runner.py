"""Run one harness and record it: the controls once for each number of threads and iterations, then the cases."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.model import seeds
from stress.model.spec import HANGS_MAX
from stress.model.verdict import Verdict
from stress.record.item_record import item_fields
from stress.record.writer import serial_of
from stress.sanitizer.native import controls
from stress.sanitizer.native.controls import Controls
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.judge import JudgedRun
from stress.sanitizer.native.judge import RunRequest
from stress.sanitizer.native.judge import judge
from stress.sanitizer.native.listing import CANARIES
from stress.sanitizer.native.listing import CONTROLS
from stress.sanitizer.native.result import CaseResult
from stress.sanitizer.native.run import Place
from stress.sanitizer.native.run import ProgramRun
from stress.sanitizer.native.run import run_program

Record = Callable[..., object]


@dataclass
class NativeRunner:
    """Runs cases of `harness`; every run is on record before it starts."""

    harness: Harness
    record: Record
    """Takes a kind of record and its fields."""
    side_stem: Callable[[], str]
    folder: Path
    """The folder for the files of the runs."""
    prefix: str
    """What the name of a record's item begins with, such as "tsan/harness.toml"."""
    root_seed: int
    deadline_s: float
    pids: dict[int, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    """Process id -> (start, `attempt_end` fields): macOS writes crash reports late."""
    _controls: dict[tuple[int, int], Controls] = field(default_factory=dict)

    def item(self, name: str, threads: int) -> str:
        return f"{self.prefix}::{name}[t{threads}]"

    def controls(self, threads: int, iterations: int) -> Controls:
        """Return what the control runs at these numbers show; they run once."""
        key = threads, iterations
        if key not in self._controls:
            runs = {}
            for name in CONTROLS:
                asked = RunRequest(name, threads, iterations, self._seed(name, 0))
                runs[name] = self.run(self.item(name, threads), asked, 0)
            found = controls.from_runs(runs, self.harness.listing.controls)
            for name, judged in runs.items():
                self._record_control(name, judged, found.problem(name))
            self._controls[key] = found
        return self._controls[key]

    def case(
        self, name: str, threads: int, iterations: int, runs: int, *, fault: str | None = None, item: str = ""
    ) -> CaseResult:
        """Run a case that often, after the controls, and judge it over all of them."""
        started = time.monotonic()
        item = item or self.item(name if fault is None else f"{name}+{fault}", threads)
        result = CaseResult(
            item,
            name,
            threads,
            iterations,
            fault,
            self.harness,
            self.controls(threads, iterations),
            self.root_seed,
        )
        for number in range(runs):
            asked = RunRequest(name, threads, iterations, self._seed(name, number), fault)
            result.runs.append(self.run(item, asked, number))
            if result.unavailable:
                break
            if sum(one.verdict == Verdict.HANG for one in result.runs) >= HANGS_MAX and number + 1 < runs:
                result.notes.append(f"stopped after {HANGS_MAX} hangs")
                break
        result.decide()
        result.seconds = time.monotonic() - started
        self._record_item(result)
        return result

    def run(self, item: str, asked: RunRequest, number: int) -> JudgedRun:
        """Run once; raise `StartError` where the program cannot be started."""
        command = [str(self.harness.program.path), *asked.arguments()]
        stem = self.side_stem()
        identity = {"item": item, "role": "crew", "attempt": number, "serial": serial_of(stem)}
        self.record(
            "attempt_start",
            **identity,
            scenario=asked.case,
            params={},
            threads=asked.threads,
            iterations=asked.iterations,
            seed=asked.seed,
            command=shlex.join(command),
            canary=asked.case in CANARIES,
            simulated=self.harness.simulated,
        )
        ran = run_program(
            command,
            Place(self.folder, stem),
            self.harness.options,
            deadline_s=self.deadline_s,
            env=self.harness.env,
        )
        judged = judge(asked, ran)
        end = {**identity, **_end_fields(judged), "simulated": self.harness.simulated}
        self.record("attempt_end", **end)
        self.pids[ran.pid] = (ran.started, end)
        return judged

    def _seed(self, name: str, number: int) -> int:
        """Return the seed of a run; the harness takes 63 bits."""
        return seeds.derive(self.root_seed, name, number)

    def _record_control(self, name: str, judged: JudgedRun, problem: str) -> None:
        fields = item_fields(
            self.item(name, judged.asked.threads),
            Verdict.INCONCLUSIVE if problem else Verdict.PASS,
            [judged.verdict],
            seconds=judged.ran.seconds,
            headline=problem,
            counted=0,  # a planted fault is not a sample of anything
            failures=0,
            control=True,
            canary=name in CANARIES,
        )
        self.record("item", **fields, simulated=self.harness.simulated)

    def _record_item(self, result: CaseResult) -> None:
        fields = item_fields(
            result.item,
            result.verdict,
            (one.verdict for one in result.runs),
            seconds=result.seconds,
            headline=result.headline,
            counted=result.counted,
            failures=result.failures,
            sentence=result.sentence,
        )
        self.record("item", **fields, simulated=self.harness.simulated)


def _end_fields(judged: JudgedRun) -> dict[str, object]:
    ran = judged.ran
    return {
        "verdict": str(judged.verdict),
        "seconds": ran.seconds,
        "headline": judged.headline,
        "exit_status": ran.code,
        "signal": judged.diagnosis.signal_name if judged.diagnosis is not None else None,
        "signature": judged.signature,
        "notes": judged.reasons,
        "findings": [one.to_data() for one in judged.findings],
        "iterations_done": judged.told.operations,
        "stderr": ran.files.get("stderr"),
        "memory_bytes_max": ran.memory_bytes_max,
        "cpu_s": ran.cpu_s,
        "pid": ran.pid,
        "tsan": _tsan_data(ran, judged),
        "tsan_log": ran.files.get("report"),
        "reports": [ran.files["json"]] if "json" in ran.files else [],
        **({"strikes": {judged.asked.fault: judged.told.struck}} if judged.asked.fault else {}),
    }


def _tsan_data(ran: ProgramRun, judged: JudgedRun) -> dict[str, object]:
    return {
        "reports": ran.parsed.total,
        "announced": ran.parsed.announced,
        "signatures": {
            name: one.count for name, one in zip(ran.parsed.signatures, ran.parsed.reports, strict=True)
        },
        "suppressed": dict(ran.parsed.suppressions),
        "detectors": list(judged.detectors),
        "platform": judged.told.platform,
    }
