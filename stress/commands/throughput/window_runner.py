"""Runs references and windows of one torch build, under isolation, with records."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from stress.commands.throughput.catalogue import BY_NAME
from stress.commands.throughput.catalogue import INPUTS_EACH
from stress.commands.throughput.catalogue import THREADS
from stress.commands.throughput.catalogue import Cell
from stress.commands.throughput.options import ThroughputOptions
from stress.isolate.attempt_runner import AttemptRunner
from stress.isolate.attempt_runner import remove_references
from stress.isolate.device_choice import DeviceInfo
from stress.isolate.supervisor import Supervisor
from stress.model import seeds
from stress.model.spec import ChildSpec
from stress.model.spec import WindowSpec
from stress.model.verdict import Verdict
from stress.record import RecordWriter

WINDOW_S = 0.25
WARM_UP_S = 0.05
DEADLINE_S = 120.0
"""Sixteen interpreters that import torch at once take their time where processes cannot be forked."""
REFERENCE_DEADLINE_S = 300.0


@dataclass(frozen=True)
class Build:
    """One torch build: where its children come from, and what its device is."""

    name: str
    supervisor: Supervisor
    device: DeviceInfo


@dataclass(frozen=True)
class Outcome:
    """What became of one window. ``figures`` is None where it was not right, and ``problem`` says why."""

    verdict: Verdict
    problem: str
    figures: Mapping[str, Any] | None
    seconds: float


class Bench:
    """All windows of one build; nothing here knows about statistics."""

    def __init__(self, build: Build, writer: RecordWriter, options: ThroughputOptions) -> None:
        self._build, self._writer, self._options = build, writer, options
        self._runner = AttemptRunner(build.supervisor.run, self._record)
        self._references: dict[str, str] = {}
        self._workers = max(options.counts)

    def reference(self, workload: str) -> str:
        """Make the expected answers of a workload; return why there are none, or ""."""
        spec = replace(self._spec("reference", workload), deadline_s=REFERENCE_DEADLINE_S)
        item = f"throughput::{self._build.name}::{workload}"
        attempt, run, _ = self._runner.run(
            spec, 0, self._identity(item, "reference", 0), self._start(workload, spec)
        )
        self._references[workload] = str(run.spec.file("reference"))
        return "" if attempt.judged.verdict.is_green else f"{attempt.judged.word}: {attempt.judged.headline}"

    def window(self, cell: Cell, round_: int) -> Outcome:
        """Measure one cell for one window, in one or more separate processes."""
        started = time.monotonic()
        spec = replace(
            self._spec("stress.commands.throughput.window:run", cell.workload),
            references=(self._references[cell.workload],),
            attempt=round_,
            window=WindowSpec(cell.way, cell.count, WINDOW_S, WARM_UP_S),
            deadline_s=DEADLINE_S,
        )
        attempt, run, _ = self._runner.run(
            spec, 0, self._identity(cell.item, "crew", round_), self._start(cell.workload, spec, cell)
        )
        spec.file("gate").unlink(missing_ok=True)  # of a window that ended badly
        judged = attempt.judged
        figures = (run.result or {}).get("window") if judged.verdict.is_green else None
        if figures is not None:
            self._record(
                "measurement",
                item=cell.item,
                attempt=round_,
                build=cell.build,
                workload=cell.workload,
                way=cell.way,
                count=cell.count,
                **figures,
            )
        signature = f" [{attempt.signature}]" if attempt.signature else ""
        problem = "" if figures is not None else f"{judged.word}: {judged.headline}{signature}"
        return Outcome(judged.verdict, problem, figures, time.monotonic() - started)

    def close(self) -> None:
        remove_references(self._references.values())

    def _spec(self, kind: str, workload: str) -> ChildSpec:
        sim = self._build.device.sim
        large = BY_NAME[workload].is_large
        return ChildSpec(
            kind=kind,
            folder=str(self._writer.folder.path),
            name=self._writer.side_stem(),
            device=self._build.device.name,
            scenario=BY_NAME[workload].ref,
            # One input for each (thread, turn): the number of threads is that of the largest cell.
            threads=min(2, self._workers) if large else self._workers,
            iterations=INPUTS_EACH,
            seed=seeds.derive(self._options.seed, "throughput", workload),
            sys_path=tuple(sys.path),
            cwd=os.getcwd(),
            sim=sim.spec if sim is not None else None,
        )

    def _identity(self, item: str, role: str, attempt: int) -> dict[str, Any]:
        return {"item": item, "role": role, "attempt": attempt}

    def _start(self, workload: str, spec: ChildSpec, cell: Cell | None = None) -> dict[str, Any]:
        return {
            "scenario": BY_NAME[workload].qualname,
            "params": {"way": cell.way} if cell is not None else {},
            "threads": cell.count if cell is not None and cell.way == THREADS else 1,
            "iterations": spec.iterations,
            "seed": spec.seed,
            "command": command_line(self._options, self._build.device.name, cell),
        }

    def _record(self, kind: Any, **fields: object) -> None:
        if self._build.device.sim is not None:
            fields["simulated"] = True
        self._writer.write(kind, **fields)


def command_line(options: ThroughputOptions, device: str, cell: Cell | None) -> str:
    """Return the nearest command: it measures what belongs to the cell as well."""
    counts: Sequence[int] = (cell.count,) if cell is not None else options.counts
    parts = ["mps-stress", "throughput", f"--device={device}", f"--seed={options.seed:#x}"]
    parts.append("--threads=" + ",".join(map(str, sorted({1, *counts}))))
    if cell is not None:
        parts += [f"--workloads={cell.workload}", f"--ways={cell.way}"]
    if options.sim.faults:
        parts.append("--sim-faults=" + ",".join(map(str, options.sim.faults)))
    if options.against is not None:
        parts.append(f"--against={options.against}")
    return shlex.join(parts)
