"""The work of a report's threads, as the preloaded library wrote it: one JSON line per printed report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.diagnose.tsan.report import Report

LINES_MAX = 10_000


@dataclass(frozen=True)
class Doing:
    """The work of the thread behind one access."""

    address: int = 0
    kernel: bool = False
    """A kernel that announced this very access; else what the thread is at when the report is made."""
    operation: str | None = None
    stream: int | None = None
    thread: int | None = None
    """Crew thread that works, or that submitted the kernel."""
    iteration: int | None = None

    def __str__(self) -> str:
        parts = [
            f"stream {self.stream}" if self.stream is not None else "",
            f"thread {self.thread} iteration {self.iteration}" if self.thread is not None else "",
        ]
        return ", ".join(filter(None, parts))


@dataclass(frozen=True)
class InFlight:
    """All lines of one process, in the order of its reports."""

    lines: tuple[tuple[Doing, ...], ...] = ()

    @classmethod
    def read(cls, path: Path) -> InFlight:
        """Return the file's contents, empty without a file. A line that is cut is left out."""
        found = []
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                for line, _ in zip(file, range(LINES_MAX), strict=False):
                    found.append(_parse(line))
        except OSError:
            return cls()
        return cls(tuple(filter(None, found)))

    def of(self, report: Report) -> Sequence[Doing]:
        """Return the work of the report's threads, one for each access; empty where that is not known.

        Reports of one signature are counted, and the first is kept: so is the first line with its addresses.
        """
        addresses = [one.access.address for one in report.accesses if one.access is not None]
        return next((line for line in self.lines if [one.address for one in line] == addresses), ())


def _parse(line: str) -> tuple[Doing, ...]:
    try:
        accesses = json.loads(line)["accesses"]
        return tuple(_doing(one) for one in accesses)
    except (ValueError, KeyError, TypeError):
        return ()


def _doing(data: dict[str, Any]) -> Doing:
    return Doing(
        int(data["address"]),
        bool(data.get("kernel", False)),
        data.get("operation"),
        data.get("stream"),
        data.get("thread"),
        data.get("iteration"),
    )
