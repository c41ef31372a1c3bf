"""The subjects of a measurement: workloads by name, and the ways in which N requests are served at once. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.model.spec import ScenarioRef

THREADS = "threads"
PROCESSES = "processes"
BATCHING = "batching"
WAYS = {
    THREADS: "N threads of one process share the model",
    PROCESSES: "N processes have a model each",
    BATCHING: "one thread puts N requests into one batch",
}

INPUTS_EACH = 4
"""Distinct inputs of each thread: its answers are no other thread's, so that one which was mixed up is seen."""


@dataclass(frozen=True)
class WorkloadName:
    """One workload: its class is in `stress.commands.throughput.workloads`, which imports torch."""

    name: str
    qualname: str
    text: str
    is_large: bool = False

    @property
    def ref(self) -> ScenarioRef:
        path = Path(__file__).with_name("workloads.py")
        return ScenarioRef(str(path), "stress.commands.throughput.workloads", self.qualname, ())

    def counts(self, asked: Sequence[int]) -> tuple[int, ...]:
        """Return how many requests at once are measured; 1 always is, because all else is compared with it.

        The large workload answers one question, the efficiency at 2.
        """
        wanted = {1, *asked}
        return tuple(sorted({one for one in (1, 2) if one <= max(wanted)} if self.is_large else wanted))


WORKLOADS = (
    WorkloadName("linear", "Linear", "nn.Linear(256, 256) of 32 rows"),
    WorkloadName("layer-norm", "LayerNorm", "nn.LayerNorm(256) of 32 rows"),
    WorkloadName("mlp", "Mlp", "Linear(256, 512), GELU, Linear(512, 256) of 32 rows"),
    WorkloadName(
        "transformer", "Transformer", "nn.TransformerEncoderLayer(64, 4 heads, 256) of 1 x 16 tokens"
    ),
    WorkloadName(
        "large",
        "Large",
        "Linear, GELU, Linear: 128 rows of 1024 by 2048 on the CPU, 512 of 2048 by 4096 on a GPU",
        is_large=True,
    ),
)
BY_NAME = {one.name: one for one in WORKLOADS}


@dataclass(frozen=True, order=True)
class WorkloadCell:
    """One line of the table: a workload of a build, served in one way, `count` requests at once."""

    build: str
    workload: str
    way: str
    count: int

    @property
    def item(self) -> str:
        """Return the name in the records."""
        return f"throughput::{self.build}::{self.workload}::{self.way}-{self.count}"


THIS_BUILD = "this"
OTHER_BUILD = "other"


def cells(
    workloads: Sequence[str], ways: Sequence[str], counts: Sequence[int], *, against: bool
) -> tuple[WorkloadCell, ...]:
    """Return what is measured; one request at a time is the same in every way, and is measured once."""
    found = []
    for name in workloads:
        found.append(WorkloadCell(THIS_BUILD, name, THREADS, 1))
        if against:
            found.append(WorkloadCell(OTHER_BUILD, name, THREADS, 1))
        found += [
            WorkloadCell(THIS_BUILD, name, way, count)
            for count in BY_NAME[name].counts(counts)
            if count > 1
            for way in ways
        ]
    return tuple(found)
