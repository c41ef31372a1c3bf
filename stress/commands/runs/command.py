"""`mps-stress runs`: read the newest runs and print a table."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from stress.commands.replay.find import results_in
from stress.commands.runs.options import RunsOptions
from stress.commands.runs.summary import RunSummary
from stress.commands.runs.summary import summarise_run
from stress.model.text import count
from stress.model.text import one_line
from stress.plugin.terminal.render import render
from stress.record.folder import folders_by_age

WIDTH_OF_A_PIPE = 120


def run(options: RunsOptions) -> int:
    """Print the newest runs, the newest last."""
    base = results_in(options.rootdir, options.results)
    folders = _folders(base)
    shown = folders[-options.last :]
    if not folders:
        print(f"no runs in {base}: pytest --mps-threads=8 makes one; --results=DIR says where others are")
        return 0
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size((WIDTH_OF_A_PIPE, 24)).columns if color else WIDTH_OF_A_PIPE
    print(render(_table([summarise_run(one) for one in shown]), width, color=color))
    if len(shown) < len(folders):
        print(f"{count(len(folders) - len(shown), 'older run')} not shown: --last={len(folders)}")
    return 0


def _folders(base: Path) -> list[Path]:
    """Return the folders of runs, the oldest first."""
    return [one for one in folders_by_age(base) if any(one.glob("*.jsonl"))]


def _table(runs: Sequence[RunSummary]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("run", "by", "device"):
        table.add_column(name, overflow="fold")
    table.add_column("items", justify="right")
    table.add_column("failed", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("end", overflow="fold")
    for one in runs:
        device = f"{one.device} (simulated)" if one.simulated else one.device
        table.add_row(
            one_line(one.run, 80),
            one.command or "pytest",
            one_line(device, 40),
            str(len(one.items)),
            Text(str(len(one.failed)), style="red" if one.failed else ""),
            f"{one.seconds:.0f}" if one.seconds is not None else "-",
            one_line(one.end, 80),
        )
    return table
