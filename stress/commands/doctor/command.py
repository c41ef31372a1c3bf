"""`mps-stress doctor`: look at everything and print it."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from stress.commands import CommandError


def run(args: argparse.Namespace) -> int:
    """Look at everything and print it."""
    source = Path(args.torch_source).resolve() if args.torch_source else None
    if source is not None and not source.is_dir():
        raise CommandError(f"--torch-source={args.torch_source}: there is no such folder")
    from stress.commands.doctor.examination import examine
    from stress.commands.doctor.report import is_ready
    from stress.commands.doctor.report import json_of
    from stress.commands.doctor.report import text_of

    lines = examine(source, Path(args.results).resolve())
    print(json_of(lines) if args.json else text_of(lines, shutil.get_terminal_size((110, 24)).columns))
    return 0 if is_ready(lines) else 1
