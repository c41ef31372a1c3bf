"""`mps-stress coverage`: add, write, check or print."""

from __future__ import annotations

import argparse
import json
import pkgutil
from pathlib import Path

from stress import commands
from stress.commands import CommandError

BEGIN = "<!-- coverage: begin (written by mps-stress coverage --write) -->"


END = "<!-- coverage: end -->"


def run(args: argparse.Namespace) -> int:
    """Add, write, check or print."""
    from stress.commands.coverage import history
    from stress.commands.coverage import table
    from stress.model.shipped import shipped
    from stress.model.shipped import shipped_scenarios

    path = Path(args.data) if args.data else shipped("results", "coverage.toml")
    try:
        known = history.load(path)
        if args.add:
            for folder in args.add:
                print(known.add(Path(folder), args.machine))
            path.write_text(known.dump())
            return 0
        covered = table.scenarios(shipped_scenarios(), known)
    except (history.RanError, OSError) as error:
        raise CommandError(str(error)) from None
    names = [one.name for one in pkgutil.iter_modules(commands.__path__)]
    if args.write or args.check:
        return _readme(Path(args.readme), table.section(covered, known, names), write=args.write)
    print(
        json.dumps(table.data(covered, known), indent=1) if args.json else table.text(covered, known, names)
    )
    return 0


def _readme(path: Path, section: str, *, write: bool) -> int:
    """Put the section between the marks, or say whether it stands there."""
    try:
        whole = path.read_text()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}: name the file with --readme") from None
    before, begin, rest = whole.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise CommandError(
            f"{path} has no section between {BEGIN!r} and {END!r}: put both marks where it belongs"
        )
    new = f"\n{section}\n"
    if write:
        path.write_text(f"{before}{BEGIN}{new}{END}{after}")
        return 0
    if old == new:
        return 0
    print(f"{path}: the coverage section is not up to date: run mps-stress coverage --write")
    return 1
