"""Build the native harness under ThreadSanitizer, run its cases, and say what "0 races" is worth.

Before a case counts, the same program must find a planted race, keep silent on its guarded twin, and be instrumented in
every translation unit; else the case is inconclusive, with the reason. Where the harness runs on the simulated Metal,
every line says so.

Exit status: 0 when every case is silent and the controls hold, 1 when something was found (a race, a broken invariant, a
crash, a hang), 2 for bad input or a missing compiler, 3 when nothing was found but nothing is proven either. With
--faults: 0 when every seeded fault is found by its declared detector in every run and everything else is silent.
"""

from __future__ import annotations

import argparse

from stress.commands import CommandError
from stress.sanitizer.command_options import DEADLINE_S_DEFAULT
from stress.sanitizer.command_options import RUNS_DEFAULT
from stress.sanitizer.command_options import THREADS_DEFAULT
from stress.sanitizer.command_options import TsanCommandOptions
from stress.sanitizer.native.result import ITERATIONS_DEFAULT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--case", metavar="NAME[,NAME...]", help="cases to run (default: all; --list names them)"
    )
    parser.add_argument(
        "--threads",
        metavar="N[,N...]",
        default=str(THREADS_DEFAULT),
        help=f"threads that work at once (default {THREADS_DEFAULT})",
    )
    parser.add_argument(
        "--iterations",
        metavar="N",
        default=str(ITERATIONS_DEFAULT),
        help=f"iterations of each thread (default {ITERATIONS_DEFAULT})",
    )
    parser.add_argument(
        "--runs",
        metavar="N",
        default=str(RUNS_DEFAULT),
        help=f"processes per case, the unit of every rate (default {RUNS_DEFAULT})",
    )
    parser.add_argument(
        "--fault",
        metavar="NAME[/twin][:P]",
        help="switch on a seeded fault, or its twin, which must stay silent",
    )
    parser.add_argument(
        "--faults",
        action="store_true",
        help="run every seeded fault, its twin and every clean case, and count the three detectors separately",
    )
    parser.add_argument(
        "--deadline",
        metavar="SECONDS",
        default=str(DEADLINE_S_DEFAULT),
        help=f"kill a run after this long and call it a hang (default {DEADLINE_S_DEFAULT})",
    )
    parser.add_argument(
        "--seed", metavar="SEED", help="root seed, decimal or 0x... (default: drawn and recorded)"
    )
    parser.add_argument(
        "--list", action="store_true", help="name the cases, controls and faults, and run nothing"
    )
    parser.add_argument(
        "--recipe", metavar="FILE", help="build and run another program that speaks the harness's language"
    )
    parser.add_argument(
        "--results", metavar="DIR", default="results/runs", help="where records go (results/runs)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Check the options, then run."""
    try:
        options = TsanCommandOptions.parse(vars(args))
    except ValueError as error:
        raise CommandError(str(error)) from None
    from stress.sanitizer import command

    return command.run(options)
