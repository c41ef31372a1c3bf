"""One run, read from its records: what `runs` shows in a line and `show` on a page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.model.verdict import Verdict
from stress.record import RecordError
from stress.record import read_run

ITEMS_MAX = 20_000
_INTERRUPTED = 2


@dataclass
class RunSummary:
    """The records of a run, added up."""

    run: str
    record: Mapping[str, Any] = field(default_factory=dict)
    """The `run` record of the first process; empty where it has none."""
    items: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """Item -> its last `item` record."""
    failures: dict[str, list[int]] = field(default_factory=dict)
    """Item -> serials of the crew's attempts that are not green."""
    processes: int = 0
    ended: int = 0
    exit_status: int | None = None
    seconds: float | None = None
    unfinished: int = 0
    """Attempts without an end."""
    problem: str = ""
    """Why it, or a part of it, cannot be read."""

    @property
    def command(self) -> str:
        """Return the `mps-stress` command that made it; "" for pytest."""
        return str(self.record.get("command") or "")

    @property
    def device(self) -> str:
        return str(self.record.get("device", "?"))

    @property
    def simulated(self) -> bool:
        return bool(self.record.get("simulated"))

    @property
    def failed(self) -> list[str]:
        """Return the items that failed; planted faults are wanted to."""
        return [
            item
            for item, one in self.items.items()
            if Verdict(one["verdict"]).is_failure and not one.get("canary")
        ]

    @property
    def verdicts(self) -> Counter[str]:
        """Return verdict -> items."""
        return Counter(str(one["verdict"]) for one in self.items.values())

    @property
    def end(self) -> str:
        """Return how it ended, in words."""
        if self.problem:
            return self.problem
        if self.ended < max(1, self.processes):
            unfinished = f", {self.unfinished} attempts without an end" if self.unfinished else ""
            return f"killed, or it still runs{unfinished}"
        if self.exit_status == _INTERRUPTED and not self.command:
            return "interrupted"
        return "" if self.exit_status is None else f"exit status {self.exit_status}"


def summarise_run(folder: Path) -> RunSummary:
    """Return what the records of a run say, as far as they can be read."""
    summary = RunSummary(folder.name)
    try:
        reader = read_run(folder)
        for record in reader:
            _add(summary, dict(record))
    except RecordError as error:
        summary.problem = error.reason
        return summary
    summary.unfinished = len(reader.unfinished)
    if not summary.record:
        summary.problem = str(reader.problems[0]) if reader.problems else "it has no run record"
    return summary


def _add(summary: RunSummary, one: Mapping[str, Any]) -> None:
    kind = one["kind"]
    if kind == "run":
        summary.record = summary.record or one
        summary.processes += 1
    elif kind == "run_end":
        summary.ended += 1
        summary.seconds = max(summary.seconds or 0.0, float(one["seconds"]))
        status = one["exit_status"]
        if status is not None:
            summary.exit_status = max(summary.exit_status or 0, status)
    elif kind == "item" and len(summary.items) < ITEMS_MAX:
        summary.items[one["item"]] = one
    elif kind == "attempt_end" and one["role"] == "crew" and not Verdict(one["verdict"]).is_green:
        serials = summary.failures.setdefault(one["item"], [])
        if "serial" in one and one["serial"] not in serials:
            serials.append(one["serial"])
