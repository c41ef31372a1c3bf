"""Make a recorded failure smaller: threads, iterations, perturbation, ... and write a script that shows it.

A smaller configuration is kept only when a sequential test has shown that it fails at least half as often as the
recorded one. Prints what was tried, then writes a script that needs torch alone, runs it, and says how often it
fails. The exit status is 0 with such a script, 1 without one, 2 for an attempt that cannot be run here.
"""

from __future__ import annotations

import argparse

from stress.commands.shared_options import add_places

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
