"""Say what this machine can run, and what would spoil the results: one line each, with the way out.

Looks at the device, torch, the environment, the tools and the machine. Exit status 1 where something is missing;
what could not be looked at is told and is never called ok.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from stress.commands import CommandError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--torch-source", metavar="DIR", help="compare the installed torch with this tree's commit"
    )
    parser.add_argument(
        "--results", metavar="DIR", default="results/runs", help="where records will go (results/runs)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Look at everything and print it."""
    source = Path(args.torch_source).resolve() if args.torch_source else None
    if source is not None and not source.is_dir():
        raise CommandError(f"--torch-source={args.torch_source}: there is no such folder")
    from stress.doctor.examination import examine
    from stress.doctor.report import is_ready
    from stress.doctor.report import json_of
    from stress.doctor.report import text_of

    lines = examine(source, Path(args.results).resolve())
    print(json_of(lines) if args.json else text_of(lines, shutil.get_terminal_size((110, 24)).columns))
    return 0 if is_ready(lines) else 1
