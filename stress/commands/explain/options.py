"""Say what a crash, a report or a record is: its class, since when it is known, and what to look at next.

Takes ThreadSanitizer's text (or the harness's JSON lines), macOS crash reports (.ips), the stderr of a process that
died, stacks of a hang, and the records of a run (its folder, or one .jsonl file in it); `-` is standard input. A
failure that nobody has described yet gets an entry, to be completed in a file of results/known below this folder: every
run and command here reads it, after the ones that came with mps-stress.

Exit status 0: every failure there has a name; 1: something has none or was cut off, or there is nothing to explain; 2: a
file cannot be read. Silence from ThreadSanitizer is not proof of no race, and is never presented as one.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="file, run folder or attempt (RUN/17); - is standard input"
    )
    form = parser.add_mutually_exclusive_group()
    shared_options.add(form, "json", help="print one JSON object per file and line")
    form.add_argument(
        "--sarif",
        action="store_true",
        help="print one SARIF 2.1.0 log of all order findings and ThreadSanitizer reports",
    )
    shared_options.add_places(parser)


@dataclass(frozen=True)
class ExplainOptions:
    """Validated options."""

    files: tuple[str, ...]
    json: bool
    sarif: bool
    rootdir: Path
    results: Path | None


def parse(args: argparse.Namespace) -> ExplainOptions:
    places = shared_options.values(args, "rootdir", "results")
    return ExplainOptions(tuple(args.files), args.json, args.sarif, **places)
