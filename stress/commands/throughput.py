"""Measure requests per second and latencies: threads, processes and batching, and two torch builds.

Each window runs in a process (or several) of its own; windows of everything that is measured are interleaved, and
medians come with rank intervals over the rounds. Every answer is compared with the sequential run's: a wrong one, or a
crash, makes the number void, and the exit status 1. What the noise does not separate is not ranked.
"""

from __future__ import annotations

import argparse

from stress.commands import CommandError
from stress.scenario.capabilities import DEVICES
from stress.throughput.catalogue import WAYS
from stress.throughput.catalogue import WORKLOADS
from stress.throughput.options import SECONDS_DEFAULT
from stress.throughput.options import THREADS_DEFAULT
from stress.throughput.options import ThroughputOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        metavar="|".join(DEVICES),
        default="auto",
        help="device to measure (default auto: mps on macOS; elsewhere the simulated one, which says nothing about speed)",
    )
    parser.add_argument(
        "--threads",
        metavar="N[,N...]",
        default=THREADS_DEFAULT,
        help=f"how many requests are served at once (default {THREADS_DEFAULT}; 1 is always measured)",
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
    parser.add_argument(
        "--seconds",
        metavar="SECONDS",
        default=str(SECONDS_DEFAULT),
        help=f"wall time of all rounds, of which there is at least one (default {SECONDS_DEFAULT})",
    )
    parser.add_argument(
        "--seed", metavar="SEED", help="root seed, decimal or 0x... (default: drawn and recorded)"
    )
    parser.add_argument(
        "--sim-faults",
        metavar="FAULTS",
        help="faults of the simulated device, as --mps-sim-faults has them: shows that a wrong answer voids a number",
    )
    parser.add_argument(
        "--results", metavar="DIR", default="results/runs", help="where records go (results/runs)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def run(args: argparse.Namespace) -> int:
    """Check the options, then measure."""
    try:
        options = ThroughputOptions.parse(vars(args))
    except ValueError as error:
        raise CommandError(str(error)) from None
    from stress.throughput import command

    return command.run(options)
