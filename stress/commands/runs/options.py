"""List the recorded runs: when, on what, how many items failed, and how each ended.

The newest comes last. `mps-stress show RUN` prints one of them. The exit status is 0, also where there is none yet.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options

RUNS_DEFAULT = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--last", metavar="N", default=str(RUNS_DEFAULT), help="how many, the newest (default %(default)s)"
    )
    shared_options.add_places(parser)


@dataclass(frozen=True)
class RunsOptions:
    """Validated options."""

    last: int
    rootdir: Path
    results: Path | None


def parse(args: argparse.Namespace) -> RunsOptions:
    return RunsOptions(
        shared_options.count(args.last, "--last"), **shared_options.values(args, "rootdir", "results")
    )
