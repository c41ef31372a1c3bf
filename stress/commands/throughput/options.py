"""Measure requests per second and latencies: threads, processes and batching, and two torch builds.

Each window runs in one or more separate processes; windows of everything that is measured are interleaved, and
medians come with rank intervals over the rounds. Every answer is compared with the sequential run's: a wrong one, or a
crash, makes the number void, and the exit status 1. What the noise does not separate is not ranked.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options
from stress.commands.throughput.catalogue import BY_NAME
from stress.commands.throughput.catalogue import WAYS
from stress.commands.throughput.catalogue import WORKLOADS
from stress.device.operator_patch import Operator
from stress.device.sim.settings import SimSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared_options.add(
        parser,
        "device",
        help="device to measure (default auto: mps on macOS; elsewhere the simulated one, which says nothing about speed)",
    )
    shared_options.add(parser, "pytorch")
    shared_options.add(
        parser,
        "threads",
        metavar="N[,N...]",
        default=THREADS_DEFAULT,
        help="how many requests are served at once (default %(default)s; 1 is always measured)",
    )
    parser.add_argument(
        "--workloads",
        metavar="NAME[,NAME...]",
        help=f"of {', '.join(one.name for one in WORKLOADS)} (default: all)",
    )
    parser.add_argument("--ways", metavar="NAME[,NAME...]", help=f"of {', '.join(WAYS)} (default: all)")
    parser.add_argument(
        "--against",
        metavar="PYTHON",
        help="interpreter of another torch build: what one thread costs with it, in the same rounds",
    )
    shared_options.add(
        parser,
        "seconds",
        default="600",
        help="wall time of all rounds, of which there is at least one (default %(default)s)",
    )
    shared_options.add(parser, "seed")
    shared_options.add(
        parser,
        "sim-faults",
        help="faults of the simulated device, written as for --mps-sim-faults: shows that a wrong answer voids a number",
    )
    shared_options.add(parser, "results", "json")


THREADS_DEFAULT = "1,2,4,8,16"


THREADS_MAX = 256


@dataclass(frozen=True)
class ThroughputOptions:
    """Validated options."""

    device: str
    pytorch: str | None
    sim: SimSettings
    counts: tuple[int, ...]
    workloads: tuple[str, ...]
    ways: tuple[str, ...]
    against: Path | None
    """The interpreter of the other torch build."""
    seconds: float
    seed: int
    results: Path
    json: bool
    operators: tuple[Operator, ...] = ()
    core_operators: str = "cpu"

    def to_data(self) -> dict[str, object]:
        """Return what the run record says of them."""
        return {
            "threads": list(self.counts),
            "workloads": list(self.workloads),
            "ways": list(self.ways),
            "against": str(self.against) if self.against else None,
            "seconds": self.seconds,
        }


def parse(args: argparse.Namespace) -> ThroughputOptions:
    return ThroughputOptions(
        **shared_options.values(args, "device", "pytorch", "seconds", "seed", "results", "json"),
        sim=shared_options.sim(args),
        counts=_counts(args.threads),
        workloads=_names(args.workloads, "--workloads", tuple(BY_NAME)),
        ways=_names(args.ways, "--ways", tuple(WAYS)),
        against=_interpreter(args.against),
    )


def _counts(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 1 <= int(part[:9]) <= THREADS_MAX for part in parts):
        raise ValueError(
            f"--threads={text}: expected whole numbers from 1 to {THREADS_MAX}, as in --threads={THREADS_DEFAULT}"
        )
    return tuple(sorted({int(part) for part in parts}))


def _names(text: str | None, option: str, known: Sequence[str]) -> tuple[str, ...]:
    if text is None:
        return tuple(known)
    names = [one.strip() for one in text.split(",")]
    for name in names:
        if name not in known:
            raise ValueError(f"{option}={text}: unknown {name!r}; known are {', '.join(known)}")
    return tuple(one for one in known if one in names)


def _interpreter(text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text)
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise ValueError(
            f"--against={text}: expected the Python interpreter of the other torch build, "
            "as in --against=/path/to/venv/bin/python"
        )
    return path.absolute()  # not resolved: a virtual environment's interpreter is a link out of it
