"""A run as text: what ran on what, and its items, those that are not green first."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from stress.commands.runs.summary import RunSummary
from stress.model.text import count
from stress.model.text import one_line
from stress.model.verdict import Verdict
from stress.model.verdict import severity

SERIALS_SHOWN = 10


def run_text(run: RunSummary) -> str:
    """Return the run and its items."""
    record = run.record
    torch = record.get("torch") or {}
    version = torch.get("version", "?") if isinstance(torch, Mapping) else "?"
    simulated = " (simulated, not Metal)" if run.simulated else ""
    program = f"mps-stress {run.command}" if run.command else "pytest"
    words = shlex.join(map(str, record["argv"]))
    lines = [
        f"{one_line(run.run)}: {run.end or 'ended'}",
        f"  command: {one_line(words if run.command else f'{program} {words}')}",
        f"  rootdir: {one_line(str(record['rootdir']))}",
        f"  device:  {one_line(run.device)}{simulated}, torch {one_line(str(version))}, seed {record['seed']:#x}",
        f"  items:   {count(len(run.items), 'item')}, {len(run.failed)} failed",
    ]
    items = sorted(run.items.values(), key=lambda one: -severity(Verdict(one["verdict"])))
    return "\n".join([*lines, *(line for one in items for line in _item(run, one))])


def _item(run: RunSummary, one: Mapping[str, Any]) -> Iterator[str]:
    verdict = Verdict(one["verdict"])
    words = ", ".join(
        f"{number} {Verdict(name).word}" for name, number in one["verdicts"].items() if name in list(Verdict)
    )
    planted = " (planted)" if one.get("canary") else ""
    yield f"{verdict.word:<12} {one['failures']}/{one['counted']} {one_line(one['item'])}{planted}: {words}"
    if verdict.is_green:
        return
    headline = one.get("headline")
    if headline:
        yield f"    {one_line(headline)}"
    serials = run.failures.get(one["item"], [])
    if serials:
        some = " ".join(f"{run.run}/{serial}" for serial in serials[:SERIALS_SHOWN])
        more = f" and {len(serials) - SERIALS_SHOWN} more" if len(serials) > SERIALS_SHOWN else ""
        yield f"    attempts: {some}{more}"
