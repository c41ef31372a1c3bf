"""`mps-stress report`: read the records and write the page."""

from __future__ import annotations

import sys
from datetime import UTC
from datetime import datetime

from stress.commands.report.options import ReportOptions
from stress.commands.report.page import page_of
from stress.commands.session import write_output
from stress.model.text import count


def run(options: ReportOptions) -> int:
    """Read the records and write the page."""
    target = options.output
    page, whole = page_of(options.runs, f"made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by mps-stress report")
    write_output(target, page)
    print(
        f"{target}: {count(len(whole.runs), 'run')}, {count(whole.records, 'record')}, {len(page.encode()) / 1000:.0f} kB"
    )
    if whole.problems_total:
        unusable = count(whole.problems_total, "line")
        print(f"{unusable} could not be used; the page lists them", file=sys.stderr)
    return 0
