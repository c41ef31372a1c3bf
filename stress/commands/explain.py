"""Say what a crash, a report or a record is: its class, since when it is known, and what to look at next.

Takes ThreadSanitizer's text (or the harness's JSON lines), macOS crash reports (.ips), the stderr of a process that
died, stacks of a hang, and the records of a run (its folder, or one .jsonl file in it); `-` is standard input. What
nobody has described yet gets an entry for results/known, to be completed.

Exit status 0: everything there has a name; 1: something has not, or there is nothing to explain; 2: a file cannot be
read. No report of ThreadSanitizer is not the same as no race, and is never told as such.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys

WIDTH_OF_A_PIPE = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="+", help="file or run folder; - is standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON object per file and line")


def run(args: argparse.Namespace) -> int:
    """Explain each file; the exit status is that of the worst."""
    from stress.explain.explanation import EXIT_UNREADABLE
    from stress.explain.printing import rendered
    from stress.explain.reading import explain
    from stress.model.text import one_line

    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    # A pipe has no width: as wide as two stacks want to be.
    width = shutil.get_terminal_size((WIDTH_OF_A_PIPE, 24)).columns if color else WIDTH_OF_A_PIPE
    statuses = []
    for name in args.files:
        explanation = explain(name, sys.stdin.buffer)
        statuses.append(explanation.status)
        if args.json:
            print(json.dumps(explanation.as_json()), flush=True)
        if explanation.status == EXIT_UNREADABLE:
            shown = "standard input" if name == "-" else name
            print(f"mps-stress explain: {one_line(f'{shown}: {explanation.headline}')}", file=sys.stderr)
        elif not args.json:
            print(
                rendered(explanation, width=width, color=color), end="\n\n" if len(args.files) > 1 else "\n"
            )
    return max(statuses)
