"""Keep the first report of each signature and count the others: a log has no end, memory has."""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict
from typing import Unpack

from stress.diagnose.tsan.report import Deadly
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.report import Report
from stress.diagnose.tsan.signature import signature

REPORTS_MAX = 1000


class _Rest(TypedDict, total=False):
    announced: int | None
    fatal: tuple[str, ...]
    deadly: tuple[Deadly, ...]
    suppressions: dict[str, int]
    unparsed_lines: int
    unparsed: tuple[str, ...]
    foreign_lines: int
    cut_off: bool


class ReportTally:
    def __init__(self) -> None:
        self._first: dict[str, Report] = {}
        self._counts: dict[str, int] = {}
        self._left_out = 0

    def add(self, report: Report) -> None:
        name = signature(report)
        if name in self._counts:
            self._counts[name] += report.count
        elif len(self._first) < REPORTS_MAX:
            self._first[name] = report
            self._counts[name] = report.count
        else:
            self._left_out += report.count

    def parsed(self, **rest: Unpack[_Rest]) -> Parsed:
        return Parsed(
            reports=tuple(replace(one, count=self._counts[name]) for name, one in self._first.items()),
            signatures=tuple(self._first),
            total=sum(self._counts.values()) + self._left_out,
            left_out=self._left_out,
            **rest,
        )
