"""The rounds: every cell once per round, in an order that is shuffled each time, until the time is up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from stress.commands.throughput.catalogue import WorkloadCell
from stress.commands.throughput.window_runner import WindowResult
from stress.commands.throughput.window_runner import WindowRunner
from stress.model import seeds

FAILURES_MAX = 2
"""A cell is left out after this many windows that were not right: its number is void already."""


@dataclass
class CellData:
    """All windows of one cell."""

    figures: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    """Round -> what was measured."""
    problems: list[str] = field(default_factory=list)
    windows: int = 0

    @property
    def is_void(self) -> bool:
        return bool(self.problems)


@dataclass
class ThroughputMeasurement:
    """What is known so far."""

    cells: tuple[WorkloadCell, ...]
    data: dict[WorkloadCell, CellData]
    rounds: int = 0
    interrupted: bool = False

    @classmethod
    def of(cls, cells: Sequence[WorkloadCell]) -> ThroughputMeasurement:
        return cls(tuple(cells), {cell: CellData() for cell in cells})

    @property
    def void(self) -> list[WorkloadCell]:
        return [cell for cell in self.cells if self.data[cell].is_void]

    @property
    def requests(self) -> int:
        return sum(int(one["requests"]) for data in self.data.values() for one in data.figures.values())


def measure(
    measured: ThroughputMeasurement,
    runners: Mapping[str, WindowRunner],
    *,
    seconds: float,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Fill `measured`; Ctrl-C ends it early, with what there is. Raise `IsolationError` where nothing can run."""
    try:
        _references(measured, runners, say)
        started = time.monotonic()
        while any(_runs(data) for data in measured.data.values()):
            _round(measured, runners, seed, lambda: time.monotonic() - started > seconds)
            left_s = seconds - (time.monotonic() - started)
            say(f"[{max(0.0, left_s):5.0f} s left] round {measured.rounds} done")
            if left_s <= 0:
                break
    except KeyboardInterrupt:
        measured.interrupted = True


def _runs(data: CellData) -> bool:
    return len(data.problems) < FAILURES_MAX


def _references(
    measured: ThroughputMeasurement, runners: Mapping[str, WindowRunner], say: Callable[[str], None]
) -> None:
    for build, workload in dict.fromkeys((cell.build, cell.workload) for cell in measured.cells):
        problem = runners[build].reference(workload)
        if problem:
            say(f"{workload} cannot be measured: one request after another is not right: {problem}")
            for cell in measured.cells:
                if (cell.build, cell.workload) == (build, workload):
                    measured.data[cell].problems += [f"alone: {problem}"] * FAILURES_MAX


def _round(
    measured: ThroughputMeasurement,
    runners: Mapping[str, WindowRunner],
    seed: int,
    is_over: Callable[[], bool],
) -> None:
    """Run one round; all but the first may end early, since comparisons use the rounds that both sides have."""
    cells = [cell for cell in measured.cells if _runs(measured.data[cell])]
    random.Random(seeds.derive(seed, "round", measured.rounds)).shuffle(cells)
    measured.rounds += 1
    for cell in cells:
        if measured.rounds > 1 and is_over():
            return
        _take(measured, cell, runners[cell.build].window(cell, measured.rounds - 1))


def _take(measured: ThroughputMeasurement, cell: WorkloadCell, outcome: WindowResult) -> None:
    data = measured.data[cell]
    data.windows += 1
    if outcome.figures is None:
        data.problems.append(outcome.problem)
    else:
        data.figures[measured.rounds - 1] = outcome.figures
