"""Quality of the harness: every seeded fault, its twin, and every clean case, some runs each.

A fault declares its detector before any run: ThreadSanitizer, an assertion of Metal's, or an invariant of the harness.
Only that one counts; what the others saw stands beside it. Twins and clean cases must be silent in every run.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from io import StringIO

from rich.console import Console
from rich.table import Table

from stress.model import stats
from stress.model.verdict import Verdict
from stress.sanitizer.native.case_runner import NativeRunner
from stress.sanitizer.native.listing import DETECTORS
from stress.sanitizer.native.listing import Case
from stress.sanitizer.native.listing import NativeFault
from stress.sanitizer.native.result import CaseResult

_WIDTH = 160


@dataclass(frozen=True)
class FaultRow:
    """One seeded fault at one number of threads and iterations."""

    fault: NativeFault
    armed: CaseResult
    twin: CaseResult

    @property
    def found(self) -> Counter[str]:
        """Return detector -> number of runs in which it found something."""
        return Counter(name for run in self.armed.runs for name in run.detectors)

    @property
    def kills(self) -> int:
        """Runs in which the declared detector found the fault."""
        return self.found[self.fault.detector]

    @property
    def struck(self) -> int:
        """Runs that lived to say that the fault took its unsafe path."""
        return sum(run.told.struck > 0 for run in self.armed.runs)

    @property
    def is_as_declared(self) -> bool:
        return (
            self.kills == len(self.armed.runs) and not self.armed.amiss and self.twin.verdict == Verdict.PASS
        )

    @property
    def missed_text(self) -> str:
        """Return what the first run gave in which the declared detector found nothing."""
        missed = next((one for one in self.armed.runs if self.fault.detector not in one.detectors), None)
        if missed is None:
            return ""
        struck = "no end line" if missed.told.end is None else f"struck {missed.told.struck} times"
        return f"{missed.headline or 'nothing was found'} ({struck})"

    def to_data(self) -> dict[str, object]:
        return {
            "fault": self.fault.name,
            "case": self.fault.case,
            "detector": self.fault.detector,
            "runs": len(self.armed.runs),
            "kills": self.kills,
            "found": {name: self.found[name] for name in DETECTORS},
            "struck": self.struck,
            "verdicts": dict(Counter(str(one.verdict) for one in self.armed.runs)),
            "seconds": [run.ran.seconds for run in self.armed.runs],
            "twin_runs": len(self.twin.runs),
            "twin_silent": _silent(self.twin),
            "twin_headline": self.twin.headline,
        }


@dataclass
class FaultTable:
    """All rows at one number of threads and iterations."""

    threads: int
    iterations: int
    simulated: bool
    faults: list[FaultRow] = field(default_factory=list)
    clean: list[CaseResult] = field(default_factory=list)
    unavailable: list[CaseResult] = field(default_factory=list)
    """Cases that the backend of this build cannot run; their faults are left out, too."""

    @property
    def is_as_declared(self) -> bool:
        return all(one.is_as_declared for one in self.faults) and all(
            one.verdict == Verdict.PASS for one in self.clean
        )

    @property
    def is_inconclusive(self) -> bool:
        """Whether nothing was run, or the controls failed, so that neither silence nor a miss means anything."""
        return (
            not self.clean
            or any(one.amiss for one in self.clean)
            or any(one.armed.amiss for one in self.faults)
        )

    def to_data(self) -> dict[str, object]:
        return {
            "threads": self.threads,
            "iterations": self.iterations,
            "faults": [one.to_data() for one in self.faults],
            "clean": [
                {
                    "case": one.case,
                    "verdict": str(one.verdict),
                    "runs": len(one.runs),
                    "silent": _silent(one),
                    "seconds": [run.ran.seconds for run in one.runs],
                    "memory_bytes_max": max(run.ran.memory_bytes_max for run in one.runs),
                    "headline": one.headline,
                }
                for one in self.clean
            ],
            "unavailable": {one.case: one.unavailable for one in self.unavailable},
        }


def measure(
    runner: NativeRunner,
    table: FaultTable,
    cases: Sequence[Case],
    faults: Sequence[NativeFault],
    runs: int,
    say: Callable[[str], None],
) -> None:
    """Run everything and fill the table, row by row, so that an interrupt keeps what there is."""
    threads, iterations = table.threads, table.iterations
    for case in cases:
        say(f"{case.name}, clean, {threads} x {iterations}")
        result = runner.case(case.name, threads, iterations, runs)
        (table.unavailable if result.unavailable else table.clean).append(result)
    missing = {one.case for one in table.unavailable}
    for fault in faults:
        if fault.case in missing:
            continue
        say(f"{fault.case} with {fault.name}, {threads} x {iterations}")
        armed = runner.case(fault.case, threads, iterations, runs, fault=fault.name)
        twin = runner.case(fault.case, threads, iterations, runs, fault=f"{fault.name}/twin")
        table.faults.append(FaultRow(fault, armed, twin))


def text(table: FaultTable) -> str:
    """Return the table and what it comes to."""
    buffer = StringIO()
    console = Console(file=buffer, width=_WIDTH, highlight=False)
    metal = "simulated Metal" if table.simulated else "Metal"
    console.print(f"{table.threads} x {table.iterations}, on {metal}", style="bold")
    console.print(_faults(table))
    console.print(_clean(table))
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join([*lines, *summary(table)])


def _faults(table: FaultTable) -> Table:
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("fault", "case", "declared"):
        shown.add_column(name)
    for name in ("found", *DETECTORS, "struck", "s median", "twin silent"):
        shown.add_column(name, justify="right")
    for row in table.faults:
        runs = len(row.armed.runs)
        shown.add_row(
            row.fault.name,
            row.fault.case,
            row.fault.detector,
            f"{row.kills}/{runs}",
            *(str(row.found[name]) for name in DETECTORS),
            str(row.struck),
            f"{statistics.median(run.ran.seconds for run in row.armed.runs):.2f}",
            f"{_silent(row.twin)}/{len(row.twin.runs)}",
        )
    return shown


def _clean(table: FaultTable) -> Table:
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    shown.add_column("clean case")
    for name in ("silent", "s median", "s max", "MB max"):
        shown.add_column(name, justify="right")
    for one in table.clean:
        seconds = [run.ran.seconds for run in one.runs]
        shown.add_row(
            one.case,
            f"{_silent(one)}/{len(one.runs)}",
            f"{statistics.median(seconds):.2f}",
            f"{max(seconds):.2f}",
            f"{max(run.ran.memory_bytes_max for run in one.runs) / 2**20:.0f}",
        )
    return shown


def summary(table: FaultTable) -> list[str]:
    """Return the sentences under the table: what each detector found, and every exception."""
    lines = [f"skipped: {one.case}: not available here: {one.unavailable}" for one in table.unavailable]
    if not table.clean:
        return lines
    for detector in DETECTORS:
        rows = [one for one in table.faults if one.fault.detector == detector]
        if rows:
            whole = sum(one.kills == len(one.armed.runs) for one in rows)
            kills, runs = sum(one.kills for one in rows), sum(len(one.armed.runs) for one in rows)
            lines.append(
                f"{detector}: {whole} of {len(rows)} faults found in every run ({kills} of {runs} runs)"
            )
    quiet = [*table.clean, *(one.twin for one in table.faults)]
    silent, runs = sum(map(_silent, quiet)), sum(len(one.runs) for one in quiet)
    if runs:  # none, where it was interrupted before the first one
        confidence = stats.confidence_sentence(runs - silent, runs)
        lines.append(f"clean cases and twins: {silent} of {runs} runs silent; {confidence}")
    lines += [f"not silent: {one.name}: {one.headline}" for one in quiet if one.verdict != Verdict.PASS]
    lines += [
        f"missed: {one.fault.name} ({one.fault.detector}) in {len(one.armed.runs) - one.kills} of "
        f"{len(one.armed.runs)} runs: {one.missed_text}"
        for one in table.faults
        if one.kills < len(one.armed.runs)
    ]
    return lines


def _silent(result: CaseResult) -> int:
    return sum(one.verdict == Verdict.PASS for one in result.runs)
