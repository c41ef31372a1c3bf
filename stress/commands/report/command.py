"""`mps-stress report`: read the records and write the page."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC
from datetime import datetime
from pathlib import Path

from stress.commands import CommandError


def run(args: argparse.Namespace) -> int:
    """Read the records and write the page."""
    from stress.commands.report.page import page_of
    from stress.record.aggregate import AggregateError

    target = Path(args.output)
    made = f"made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by mps-stress report"
    try:
        page, whole = page_of([Path(one) for one in args.runs], made)
        target.write_text(page, encoding="utf-8")
    except AggregateError as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"-o {target}: cannot write: {error.strerror}; give another file") from None
    print(f"{target}: {len(whole.runs)} runs, {whole.records} records, {len(page.encode()) / 1000:.0f} kB")
    if whole.problems_total:
        print(f"{whole.problems_total} lines could not be used; the page lists them", file=sys.stderr)
    return 0
