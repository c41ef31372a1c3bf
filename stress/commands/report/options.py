"""Show scenarios by torch build and machine, from any number of runs; with -o, make one self-contained HTML page.

RUN is a run folder, or a folder of run folders; folders of several machines are put together. Real, virtual and
simulated devices, machines, torch builds and settings are kept apart. The tables say which builds failed, since when a
failure is fixed, and which one came back. The page needs no network and runs no script.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, or folders of run folders")
    shared_options.add(
        parser, "output", help="write a page instead of printing tables: where it goes, such as page.html"
    )


@dataclass(frozen=True)
class ReportOptions:
    """Validated options."""

    runs: tuple[Path, ...]
    output: Path | None


def parse(args: argparse.Namespace) -> ReportOptions:
    return ReportOptions(shared_options.paths(args.runs), shared_options.value(args, "output"))
