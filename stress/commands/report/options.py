"""Make one self-contained HTML page from any number of runs.

RUN is a run folder, or a folder of run folders; folders of several machines are put together. Real, virtual and
simulated devices, machines, torch builds and settings are kept apart. The page needs no network and runs no script.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, or folders of run folders")
    shared_options.add(parser, "output", required=True, help="where the page goes, such as page.html")


@dataclass(frozen=True)
class ReportOptions:
    """Validated options."""

    runs: tuple[Path, ...]
    output: Path


def parse(args: argparse.Namespace) -> ReportOptions:
    return ReportOptions(shared_options.paths(args.runs), shared_options.value(args, "output"))
