"""Measure the detector: which of the seeded faults of the simulated device does it kill, and how fast?

Runs a fixed allocation of scenarios against every fault of the bug zoo and against its fault-free twin, each
attempt in a separate process, and prints kill rates, verdicts, names and the score. Everything is simulated:
it measures the detector, never a real backend. A twin that fails makes the exit status 1.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options
from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import FAULTS
from stress.device.sim.zoo import Fault

WORKERS_MAX = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--faults", metavar="NAME[,NAME...]", help="only these faults (default: all of the zoo)"
    )
    shared_options.add(
        parser,
        "seconds",
        default="1200",
        help="wall time of the whole measurement, shared between the faults (default %(default)s)",
    )
    shared_options.add(parser, "threads", help="threads of every entry (default: as the allocation says)")
    parser.add_argument(
        "--workers",
        metavar="N",
        default="1",
        help="watch so many faults side by side; while N are, a second of each counts as one Nth of one, as if N workers shared "
        "one fault (default %(default)s)",
    )
    shared_options.add(parser, "seed")
    parser.add_argument(
        "--probability",
        metavar="P[,P...]",
        default="0.01,0.1,0.001",
        help="probability of a fault that declares 0.01, others in proportion; the first one is the score, "
        "the others are printed beside it (default 0.01,0.1,0.001)",
    )
    parser.add_argument(
        "--twins",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="run the fault-free twins (default)",
    )
    parser.add_argument(
        "--blind",
        action="store_true",
        help="spread each fault's seconds over the whole allocation, as if the fault were unknown",
    )
    shared_options.add(parser, "results", "json")
    parser.add_argument(
        "--allocation", metavar="FILE", help="entries and their shares (default: the shipped ones)"
    )


@dataclass(frozen=True)
class PowerOptions:
    """Validated options."""

    faults: tuple[Fault, ...]
    seconds: float
    threads: int | None
    workers: int
    seed: int
    probabilities: tuple[float, ...]
    twins: bool
    blind: bool
    """Every fault gets the same shares, as if nothing were known of it."""
    results: Path
    json: bool
    allocation: Path | None

    def to_data(self) -> dict[str, object]:
        """Return what the run record says of them."""
        return {
            "faults": [one.name for one in self.faults],
            "seconds": self.seconds,
            "threads": self.threads,
            "workers": self.workers,
            "probabilities": list(self.probabilities),
            "twins": self.twins,
            "blind": self.blind,
        }


def parse(args: argparse.Namespace) -> PowerOptions:
    return PowerOptions(
        **shared_options.values(args, "seconds", "threads", "seed", "results", "json"),
        faults=_faults(args.faults),
        workers=shared_options.count(args.workers, "--workers", WORKERS_MAX),
        probabilities=_probabilities(args.probability),
        twins=args.twins,
        blind=args.blind,
        allocation=Path(args.allocation) if args.allocation else None,
    )


def alone(options: PowerOptions) -> PowerOptions:
    """Return them where attempts run one at a time; raise `ValueError` for others."""
    if options.workers > 1:
        raise ValueError(f"--workers={options.workers}: attempts run one at a time here; leave it out")
    return options


def _faults(text: str | None) -> tuple[Fault, ...]:
    if text is None:
        return FAULTS
    names = [one.strip() for one in text.split(",")]
    for name in names:
        if name not in BY_NAME:
            raise ValueError(f"--faults={text}: unknown fault {name!r}; known are {', '.join(BY_NAME)}")
    return tuple(BY_NAME[name] for name in dict.fromkeys(names))


def _probabilities(text: str) -> tuple[float, ...]:
    try:
        values = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        values = (math.nan,)
    if not all(0 < one <= 1 for one in values):
        raise ValueError(
            f"--probability={text}: expected numbers above 0 and at most 1, as in 0.01,0.1,0.001"
        )
    return values
