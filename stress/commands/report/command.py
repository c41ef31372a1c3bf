"""`mps-stress report`: read the records, print the tables or write the page."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import UTC
from datetime import datetime

from stress.commands.report.builds import builds_text
from stress.commands.report.options import ReportOptions
from stress.commands.report.page import page_of
from stress.commands.session import write_output
from stress.model.text import count
from stress.record.aggregate import Aggregate
from stress.record.aggregate import read_folders

WIDTH_OF_A_PIPE = 120


def _print(options: ReportOptions) -> int:
    whole = read_folders(options.runs)
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size((WIDTH_OF_A_PIPE, 24)).columns
    print(builds_text(whole, width, color=color))
    _say_unusable(whole, "mps-stress report -o page.html lists them")
    return 0


def _say_unusable(whole: Aggregate, where: str) -> None:
    if whole.problems_total:
        print(f"{count(whole.problems_total, 'line')} could not be used; {where}", file=sys.stderr)


def run(options: ReportOptions) -> int:
    """Read the records; write the page, or print the tables."""
    target = options.output
    if target is None:
        return _print(options)
    page, whole = page_of(options.runs, f"made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by mps-stress report")
    write_output(target, page)
    print(
        f"{target}: {count(len(whole.runs), 'run')}, {count(whole.records, 'record')}, {len(page.encode()) / 1000:.0f} kB"
    )
    _say_unusable(whole, "the page lists them")
    return 0
