"""Make a recorded failure smaller: threads, iterations, perturbation, ... and write a script that shows it.

A smaller configuration is kept only when a sequential test has shown that it fails at least half as often as the
recorded one. Prints what was tried, then writes a script that needs torch alone, runs it, and says how often it
fails. The exit status is 0 with such a script, 1 without one, 2 for an attempt that cannot be run here.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from stress.command_options import count
from stress.command_options import seconds
from stress.commands import CommandError
from stress.commands.replay import add_places
from stress.commands.replay import checked
from stress.commands.replay import places

SECONDS_DEFAULT = 240
SHARE_DEFAULT = "0.5"
SHARE_MAX = 0.95
SCRIPT_RUNS_DEFAULT = 20
"""Enough for an interval that says something."""
SCRIPT_RUNS_MAX = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("attempt", metavar="RUN/17", help="the attempt, as the failure block names it")
    parser.add_argument(
        "--seconds",
        metavar="SECONDS",
        default=str(SECONDS_DEFAULT),
        help=f"wall time of all of it, the script's runs included (default {SECONDS_DEFAULT})",
    )
    parser.add_argument(
        "--share",
        metavar="SHARE",
        default=SHARE_DEFAULT,
        help=f"share of the recorded failure rate that has to be left (default {SHARE_DEFAULT})",
    )
    parser.add_argument(
        "--script-runs",
        metavar="N",
        help=f"run a script that is kept at least so often (default {SCRIPT_RUNS_DEFAULT})",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where the script goes (default: into the new run's folder)"
    )
    add_places(parser)


def run(args: argparse.Namespace) -> int:
    """Check the options, then search."""
    time_s = checked(lambda: seconds(args.seconds))
    share = _share(args.share)
    runs = checked(lambda: count(args.script_runs, "--script-runs", SCRIPT_RUNS_MAX))
    rootdir, results = places(args)
    from stress.minimise.command import minimise

    return minimise(
        args.attempt,
        seconds=time_s,
        share=share,
        script_runs=runs or SCRIPT_RUNS_DEFAULT,
        rootdir=rootdir,
        results=results,
        output=Path(args.output) if args.output else None,
    )


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= SHARE_MAX:  # false for nan
        raise CommandError(f"--share={text}: expected a number above 0 and at most {SHARE_MAX:g}")
    return value
