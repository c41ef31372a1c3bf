"""Find the build that brought a recorded failure in, by halving what lies between a good one and a bad one.

A build is an interpreter with its torch (`.venv-2.12/bin/python`), a command (`NAME=COMMAND`), or with --commits=TREE a commit of
PyTorch, whose core runs on the simulated Metal. How often BAD fails is measured first. Then each build is attempted until
a sequential test decides whether it fails like BAD or at most a tenth as often, so that a failure that comes once in twenty attempts is no
lottery. It says how sure the answer is. The exit status is 0 where one build is left, 1 where not, 2 for bad input.

A command's exit status is one attempt: 0 passes, 125 cannot tell, any other one fails. One that makes several ends its
output with a line such as {"attempts": 20, "failures": 1}; MPS_STRESS_ATTEMPTS says how many are wanted.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options

SECONDS_DEFAULT = 3600
CONFIDENCE_DEFAULT = "0.99"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "attempt",
        metavar="RUN/17",
        help="the attempt, as the failure block names it; commands alone need none",
        nargs="?",
    )
    parser.add_argument(
        "--good", metavar="BUILD", required=True, help="a build that does not fail, or hardly"
    )
    parser.add_argument("--bad", metavar="BUILD", required=True, help="a later build that fails")
    parser.add_argument(
        "--build",
        metavar="BUILD",
        action="append",
        default=[],
        help="a build between them; give each of them, from good to bad",
    )
    parser.add_argument(
        "--commits",
        metavar="TREE",
        help="good and bad are commits of this source tree of PyTorch, for a failure on core",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="of --commits: try those of another version than the installed torch, too, or with a half-applied patch",
    )
    parser.add_argument(
        "--confidence",
        metavar="SHARE",
        default=CONFIDENCE_DEFAULT,
        help="probability, at least, that the answer is right (default %(default)s)",
    )
    shared_options.add(parser, "seconds", default=str(SECONDS_DEFAULT))
    shared_options.add_places(parser)


@dataclass(frozen=True)
class NamedBuild:
    """A build as the user names it: an interpreter, or a command with a name."""

    name: str
    command: str = ""
    python: str = ""


@dataclass(frozen=True)
class BisectOptions:
    """Validated options."""

    attempt: str | None
    builds: tuple[NamedBuild, ...]
    """From good to bad."""
    commits: Path | None
    force: bool
    """Of commits: as `mps-stress core build --force`."""
    confidence: float
    seconds: float
    rootdir: Path
    results: Path | None


def parse(args: argparse.Namespace) -> BisectOptions:
    commits = Path(args.commits) if args.commits else None
    if args.force and commits is None:
        raise ValueError("--force: only for commits, which --commits=TREE names")
    if commits is not None:
        if not commits.is_dir():
            raise ValueError(f"--commits={args.commits}: no such folder")
        if args.build:
            raise ValueError(
                f"--build={args.build[0]}: with --commits, the builds are those between the two commits"
            )
        builds: tuple[NamedBuild, ...] = (NamedBuild(args.good), NamedBuild(args.bad))
    else:
        named = [("--good", args.good), *(("--build", one) for one in args.build), ("--bad", args.bad)]
        builds = tuple(_build(option, text) for option, text in named)
    if args.attempt is None and not all(one.command for one in builds):
        raise ValueError("RUN/17 is missing: only commands (NAME=COMMAND) know by themselves what to run")
    return BisectOptions(
        args.attempt,
        builds,
        commits,
        args.force,
        _confidence(args.confidence),
        **shared_options.values(args, "seconds", "rootdir", "results"),
    )


def _build(option: str, text: str) -> NamedBuild:
    name, equals, command = text.partition("=")
    if equals and name and command:
        return NamedBuild(name, command=command)
    found = shutil.which(os.path.expanduser(text))
    if equals or found is None:
        raise ValueError(f"{option}={text}: expected an interpreter, or NAME=COMMAND")
    return NamedBuild(text, python=os.path.abspath(found))


def _confidence(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.5 <= value < 1:  # false for nan
        raise ValueError(f"--confidence={text}: expected a probability from 0.5 to below 1, such as 0.99")
    return value
