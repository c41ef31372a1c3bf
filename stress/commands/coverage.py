"""Print the coverage table from the code itself: scenario, row, origin, devices, and the seeded faults that it kills.

Rows and origins are what scenario classes declare. Where they ran and what they killed is kept in
results/coverage.toml, which `--add` makes from records: of an ordinary run, or of one with seeded faults.
"""

from __future__ import annotations

import argparse
import json
import pkgutil
from pathlib import Path

from stress import commands
from stress.commands import CommandError

BEGIN = "<!-- coverage: begin (written by mps-stress coverage --write) -->"
END = "<!-- coverage: end -->"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--add", metavar="RUN", nargs="+", help="take what these runs' records (folders) say into the data"
    )
    parser.add_argument(
        "--machine",
        metavar="TEXT",
        default="",
        help="with --add: what the runs ran on (default: as recorded)",
    )
    parser.add_argument("--write", action="store_true", help="write the README's section, between its marks")
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit with 1 unless the README's section is what --write would write",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--readme", metavar="FILE", default="README.md", help="for --write and --check (README.md)"
    )
    parser.add_argument(
        "--data", metavar="FILE", help="where scenarios have run (default: the shipped results/coverage.toml)"
    )


def run(args: argparse.Namespace) -> int:
    """Add, write, check or print."""
    from stress import coverage
    from stress import ran
    from stress.model.shipped import shipped
    from stress.model.shipped import shipped_scenarios

    path = Path(args.data) if args.data else shipped("results", "coverage.toml")
    try:
        known = ran.load(path)
        if args.add:
            for folder in args.add:
                print(known.add(Path(folder), args.machine))
            path.write_text(known.dump())
            return 0
        covered = coverage.scenarios(shipped_scenarios(), known)
    except (ran.RanError, OSError) as error:
        raise CommandError(str(error)) from None
    names = [one.name for one in pkgutil.iter_modules(commands.__path__)]
    if args.write or args.check:
        return _readme(Path(args.readme), coverage.section(covered, known, names), write=args.write)
    print(
        json.dumps(coverage.data(covered, known), indent=1)
        if args.json
        else coverage.text(covered, known, names)
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
