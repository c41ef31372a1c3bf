"""Runs references and windows of one torch build, under isolation, with records."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stress.commands.throughput.catalogue import BY_NAME
from stress.commands.throughput.catalogue import INPUTS_EACH
from stress.commands.throughput.catalogue import THREADS
from stress.commands.throughput.catalogue import WorkloadCell
from stress.commands.throughput.options import ThroughputOptions
from stress.isolate.attempt import Attempt
from stress.isolate.case_runner import CaseRunner
from stress.isolate.case_runner import CaseSpec
from stress.isolate.case_runner import References
from stress.isolate.case_runner import Rotation
from stress.isolate.case_runner import recorder
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
_UNDISTURBED = Rotation("off", mode="none", readback="every", completion="in_order")


@dataclass(frozen=True)
class Build:
    """One torch build: where its children come from, and what its device is."""

    name: str
    supervisor: Supervisor
    device: DeviceInfo


@dataclass(frozen=True)
class WindowResult:
    """What became of one window. ``figures`` is None where it was not right, and ``problem`` says why."""

    verdict: Verdict
    problem: str
    figures: Mapping[str, Any] | None
    seconds: float


class WindowRunner:
    """All windows of one build; nothing here knows about statistics."""

    def __init__(self, build: Build, writer: RecordWriter, options: ThroughputOptions) -> None:
        self._build, self._options = build, options
        self._record = recorder(writer, simulated=build.device.is_simulated)
        self._runner = CaseRunner(build.supervisor.run, writer, self._record)
        self._references: dict[str, References] = {}
        self._workers = max(options.counts)

    def reference(self, workload: str) -> str:
        """Make the expected answers of a workload; return why there are none, or ""."""
        made = self._runner.references(self._case(workload))
        self._references[workload] = made
        return "" if made.is_usable or made.shown is None else _problem_text(made.shown)

    def window(self, cell: WorkloadCell, round_: int) -> WindowResult:
        """Measure one cell for one window, in one or more separate processes."""
        started = time.monotonic()
        case = self._case(cell.workload, cell)
        attempt, run, _ = self._runner.attempt(case, round_, self._references[cell.workload])
        run.spec.file("gate").unlink(missing_ok=True)  # of a window that ended badly
        verdict = attempt.judged.verdict
        figures = (run.result or {}).get("window") if verdict.is_green else None
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
        problem = "" if figures is not None else f"{_problem_text(attempt)}{signature}"
        return WindowResult(verdict, problem, figures, time.monotonic() - started)

    def close(self) -> None:
        for references in self._references.values():
            references.remove()

    def _case(self, workload: str, cell: WorkloadCell | None = None) -> CaseSpec:
        """Return the case of a cell; without one, that of the references that all cells of the workload share."""
        known, device = BY_NAME[workload], self._build.device
        command = command_line(self._options, device.name, cell)
        return CaseSpec(
            item=cell.item if cell is not None else f"throughput::{self._build.name}::{workload}",
            child=ChildSpec(
                "stress.commands.throughput.window:run",
                device=device.name,
                scenario=known.ref,
                # One input for each (thread, turn): the number of threads is that of the largest cell.
                threads=min(2, self._workers) if known.is_large else self._workers,
                iterations=INPUTS_EACH,
                seed=seeds.derive(self._options.seed, "throughput", workload),
                deadline_s=DEADLINE_S,
                window=WindowSpec(cell.way, cell.count, WINDOW_S, WARM_UP_S) if cell is not None else None,
                sim=device.sim_spec,
                core=device.core_spec,
            ),
            rotation=_UNDISTURBED,
            reference_deadline_s=REFERENCE_DEADLINE_S,
            command=lambda _: command,
            start={
                "params": {"way": cell.way} if cell is not None else {},
                "threads": cell.count if cell is not None and cell.way == THREADS else 1,
                "iterations": INPUTS_EACH,
            },
        )


def _problem_text(attempt: Attempt) -> str:
    return f"{attempt.judged.word}: {attempt.judged.headline}"


def command_line(options: ThroughputOptions, device: str, cell: WorkloadCell | None) -> str:
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
