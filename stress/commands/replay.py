"""Run a recorded attempt again: RUN/17 is attempt 17 of that run.

The same scenario, seeds, perturbation and readback on the same kind of device, each time in a process of its
own. Prints how often it fails and as what. The exit status is 0 when the recorded result came again at least
once, 1 when it did not, 2 for an attempt that cannot be run here. RUN is a folder of results/runs, a path, or
`latest`; a bare number is an attempt of the newest run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stress.command_options import count
from stress.commands import CommandError

T = TypeVar("T")

ATTEMPTS_DEFAULT = 20
ATTEMPTS_MAX = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("attempt", metavar="RUN/17", help="the attempt, as the failure block names it")
    parser.add_argument(
        "--attempts",
        metavar="N",
        help=f"how often (default {ATTEMPTS_DEFAULT})",
    )
    add_places(parser)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where runs and scenarios are."""
    parser.add_argument(
        "--rootdir", metavar="DIR", default=".", help="what pytest called rootdir (default: this folder)"
    )
    parser.add_argument(
        "--results", metavar="DIR", help="where the runs are (default: results/runs below the rootdir)"
    )


def places(args: argparse.Namespace) -> tuple[Path, Path | None]:
    """Return the rootdir and the folder of the runs, where one was given."""
    return Path(args.rootdir), None if args.results is None else Path(args.results).resolve()


def checked(read: Callable[[], T]) -> T:
    """Return an option's value; its `ValueError` becomes a `CommandError`."""
    try:
        return read()
    except ValueError as error:
        raise CommandError(str(error)) from None


def run(args: argparse.Namespace) -> int:
    """Check the options, then run the attempt again."""
    attempts = checked(lambda: count(args.attempts, "--attempts", ATTEMPTS_MAX))
    from stress.replay.command import replay

    rootdir, results = places(args)
    return replay(args.attempt, attempts or ATTEMPTS_DEFAULT, rootdir, results)
