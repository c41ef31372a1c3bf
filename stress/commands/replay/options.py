"""Run a recorded attempt again: RUN/17 is attempt 17 of that run.

The same scenario, seeds, perturbation and readback on the same kind of device, each time in a separate process.
Prints how often it fails and how. With --history each of these processes first serves the attempts that the recorded one
had served before. The exit status is 0 when the recorded result came again at least
once, 1 when it did not, 2 for an attempt that cannot be run here. RUN is a folder of results/runs, a path, or
`latest`; a bare number is an attempt of the newest run.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options

ATTEMPTS_DEFAULT = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("attempt", metavar="RUN/17", help="the attempt, as the failure block names it")
    shared_options.add(parser, "attempts", default=str(ATTEMPTS_DEFAULT))
    parser.add_argument(
        "--history",
        action="store_true",
        help="first run the attempts that its process had served before, in one process each time",
    )
    shared_options.add(
        parser,
        "pytorch",
        help="for an attempt on core: run it on this source tree of PyTorch (default: the recorded one)",
    )
    shared_options.add_places(parser)


@dataclass(frozen=True)
class ReplayOptions:
    """Validated options."""

    attempt: str
    attempts: int
    rootdir: Path
    results: Path | None
    history: bool = False
    pytorch: str | None = None


def parse(args: argparse.Namespace) -> ReplayOptions:
    places = shared_options.values(args, "attempts", "pytorch", "rootdir", "results")
    return ReplayOptions(args.attempt, history=args.history, **places)
