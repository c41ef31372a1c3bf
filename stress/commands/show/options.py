"""Print what was recorded: RUN is a run and its items, RUN/17 an attempt with all its findings, stderr and stacks.

RUN is a folder of results/runs, a path, or `latest`; a bare number is an attempt of the newest run. `--json` prints the
records themselves, one a line.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="RUN[/17]", help="a run, or an attempt as the failure block names it")
    shared_options.add(parser, "json", help="print the records as JSON lines")
    shared_options.add_places(parser)


@dataclass(frozen=True)
class ShowOptions:
    """Validated options."""

    what: str
    json: bool
    rootdir: Path
    results: Path | None


def parse(args: argparse.Namespace) -> ShowOptions:
    return ShowOptions(args.what, args.json, **shared_options.values(args, "rootdir", "results"))
