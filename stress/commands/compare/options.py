"""Compare two sets of runs: what got worse, better, or cannot be told apart?

BASE and NEW are run folders, or folders of run folders. Items are paired by scenario, thread count, kind of device,
class of machine and settings; one-sided Fisher tests with Holm's correction decide. Attempts of different builds are
never pooled. Exit status 1 where NEW is worse, or has a new failure that nobody has described.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", metavar="BASE", help="folder of the runs before")
    parser.add_argument("new", metavar="NEW", help="folder of the runs after")
    parser.add_argument(
        "--any-settings",
        action="store_true",
        help="pair items even if settings or environment switches differ: to see what a switch does",
    )
    parser.add_argument("--all", action="store_true", help="also show items without a failure on either side")
    shared_options.add(parser, "json", help="print JSON instead of text")


@dataclass(frozen=True)
class CompareOptions:
    """Validated options."""

    base: Path
    new: Path
    any_settings: bool
    show_all: bool
    json: bool


def parse(args: argparse.Namespace) -> CompareOptions:
    return CompareOptions(Path(args.base), Path(args.new), args.any_settings, args.all, args.json)
