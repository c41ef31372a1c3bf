"""Run every operator of torch's own test database from N threads at once, and print a table per operator.

All float32 samples of each operator first, then some of every other dtype that it claims for the device. Each case runs in
processes of its own: the sequential run that says what is right, and the crew. What one thread alone is refused counts
as refused; random and uninitialised operators run, but are not compared, and the table says so. It takes long: it is no
part of `pytest --mps-threads`, and stops when `--seconds` are up.
"""

from __future__ import annotations

import argparse

from stress.commands import CommandError
from stress.scenario.capabilities import DEVICES
from stress.sweep.options import DTYPES
from stress.sweep.options import SECONDS_DEFAULT
from stress.sweep.options import THREADS_DEFAULT
from stress.sweep.options import SweepOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        metavar="|".join(DEVICES),
        default="auto",
        help="device to test (default auto: mps on macOS, elsewhere the simulated one)",
    )
    parser.add_argument(
        "--threads", metavar="N", default=THREADS_DEFAULT, help=f"threads (default {THREADS_DEFAULT})"
    )
    parser.add_argument(
        "--ops", metavar="NAME[,NAME...]", help="only these operators, as in 'linalg.*,nn.functional.linear'"
    )
    parser.add_argument(
        "--dtypes", metavar="DTYPE[,DTYPE...]", help=f"only these, of {', '.join(DTYPES)} (default: all)"
    )
    parser.add_argument(
        "--seconds",
        metavar="SECONDS",
        default=str(SECONDS_DEFAULT),
        help=f"wall time: cases that do not fit are not run, and the table says so (default {SECONDS_DEFAULT})",
    )
    parser.add_argument(
        "--seed", metavar="SEED", help="root seed, decimal or 0x... (default: drawn and recorded)"
    )
    parser.add_argument(
        "--sim-faults", metavar="FAULTS", help="faults of the simulated device, as --mps-sim-faults has them"
    )
    parser.add_argument(
        "--results", metavar="DIR", default="results/runs", help="where records go (results/runs)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def run(args: argparse.Namespace) -> int:
    """Check the options, then sweep."""
    try:
        options = SweepOptions.parse(vars(args))
    except ValueError as error:
        raise CommandError(str(error)) from None
    from stress.sweep import command

    return command.run(options)
