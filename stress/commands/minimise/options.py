"""Make a recorded failure smaller: threads, iterations, perturbation, ... and write a script that shows it.

A smaller configuration is kept only when a sequential test has shown that it fails at least half as often as the
recorded one. Prints what was tried, then writes a script that needs only torch, runs it, and says how often it
fails. The exit status is 0 with such a script, 1 without one, 2 for an attempt that cannot be run here.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options

SECONDS_DEFAULT = 240
SHARE_DEFAULT = "0.5"
SHARE_MAX = 0.95
SCRIPT_RUNS_DEFAULT = 20
"""Enough for an interval that says something."""
SCRIPT_RUNS_MAX = 10_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("attempt", metavar="RUN/17", help="the attempt, as the failure block names it")
    shared_options.add(
        parser,
        "seconds",
        default=str(SECONDS_DEFAULT),
        help="total wall time, including the script's runs (default %(default)s)",
    )
    parser.add_argument(
        "--share",
        metavar="SHARE",
        default=SHARE_DEFAULT,
        help="share of the recorded failure rate that must remain (default %(default)s)",
    )
    parser.add_argument(
        "--script-runs",
        metavar="N",
        default=str(SCRIPT_RUNS_DEFAULT),
        help="run a kept script at least this often (default %(default)s)",
    )
    shared_options.add(parser, "output", help="where the script goes (default: into the new run's folder)")
    shared_options.add_places(parser)


@dataclass(frozen=True)
class MinimiseOptions:
    """Validated options."""

    attempt: str
    seconds: float
    share: float
    script_runs: int
    output: Path | None
    rootdir: Path
    results: Path | None


def parse(args: argparse.Namespace) -> MinimiseOptions:
    return MinimiseOptions(
        attempt=args.attempt,
        share=_share(args.share),
        script_runs=shared_options.count(args.script_runs, "--script-runs", SCRIPT_RUNS_MAX),
        **shared_options.values(args, "seconds", "output", "rootdir", "results"),
    )


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= SHARE_MAX:  # false for nan
        raise ValueError(f"--share={text}: expected a number above 0 and at most {SHARE_MAX:g}")
    return value
