"""Results of upstream's tests: under stock and under patched torch, and from threads, from the records of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.commands.upstream import report
from stress.commands.upstream.baseline import SuiteBaseline
from stress.commands.upstream.baseline import read
from stress.commands.upstream.news import mended
from stress.commands.upstream.news import news_of
from stress.commands.upstream.outcomes import SuiteOutcomes
from stress.model.errors import UserError
from stress.model.markdown import bullets
from stress.model.markdown import code
from stress.model.markdown import plain
from stress.model.markdown import table
from stress.model.text import count
from stress.record.aggregate import RunInfo

STOCK, PATCHED = "stock", "patched"
TESTS_MAX = 50_000
ROWS_SHOWN = 60
_NONE = "not run"


@dataclass
class UpstreamTests:
    """Collects the newest run of each role."""

    runs: dict[str, RunInfo] = field(default_factory=dict)
    tests: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)
    """Run -> test -> (verdict, headline)."""

    def add(self, record: Mapping[str, Any], info: RunInfo) -> None:
        role = info.record["settings"].get("role")
        if role not in (STOCK, PATCHED):
            return
        if role not in self.runs or self.runs[role].time < info.time:
            self.runs[role] = info
        own = self.tests.setdefault(info.run, {})
        if record["kind"] == "item" and len(own) < TESTS_MAX:
            own[record["item"]] = (record["verdict"], record.get("headline", ""))

    def of(self, role: str) -> dict[str, tuple[str, str]]:
        info = self.runs.get(role)
        return self.tests.get(info.run, {}) if info is not None else {}

    @property
    def lost(self) -> list[str]:
        """Return the tests that pass on stock torch and do not, or did not run, on the patched one."""
        patched = self.of(PATCHED)
        return [
            test
            for test, (verdict, _) in sorted(self.of(STOCK).items())
            if verdict == "pass" and patched.get(test, (_NONE, ""))[0] != "pass"
        ]

    @property
    def is_complete(self) -> bool:
        return bool(self.of(STOCK)) and bool(self.of(PATCHED))

    def section(self) -> str:
        if not self.runs:
            return ""
        parts = [
            table(
                ["torch", "build", "passed", "failed", "crashed", "hung", "skipped"],
                map(self._row, self.runs),
            )
        ]
        if not self.is_complete:
            return "\n\n".join([*parts, "Not compared: only one of the two builds was run."])
        stock, patched = self.of(STOCK), self.of(PATCHED)
        differ = [
            test for test in sorted(stock.keys() | patched.keys())
            if stock.get(test, (_NONE, ""))[0] != patched.get(test, (_NONE, ""))[0]
        ]  # fmt: skip
        parts.append(
            f"{count(len(differ), 'test')} with a different outcome; {count(len(self.lost), 'test')} pass on stock torch only. One run of each: a flaky test differs by chance."
        )
        if differ:
            rows = [[code(test), *self._outcomes(test)] for test in differ[:ROWS_SHOWN]]
            parts.append(table(["test", "stock", "patched", "what the patched one says"], rows))
        return "\n\n".join(parts)

    def _outcomes(self, test: str) -> list[str]:
        stock, patched = (self.of(role).get(test, (_NONE, "")) for role in (STOCK, PATCHED))
        return [stock[0], patched[0], code(patched[1]) if patched[1] else ""]

    def _row(self, role: str) -> list[str]:
        info = self.runs[role]
        found = Counter(verdict for verdict, _ in self.of(role).values())
        counts = [str(found[one]) for one in ("pass", "error", "crash", "hang")]
        return [
            role,
            code(info.group.build.label),
            *counts,
            plain(str(info.record["settings"].get("skipped", "?"))),
        ]


@dataclass
class UpstreamRuns:
    """Collects the runs of `mps-stress upstream`: the tests alone and from threads."""

    runs: dict[str, RunInfo] = field(default_factory=dict)
    outcomes: dict[str, SuiteOutcomes] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any], info: RunInfo) -> None:
        self.runs[info.run] = info
        self.outcomes.setdefault(info.run, SuiteOutcomes()).add(record)

    def section(self) -> str:
        parts = []
        for run, info in self.runs.items():
            now = self.outcomes[run].tests
            if not now:
                continue
            baseline, note = _baseline(info.record)
            lines = report.lines(
                baseline, now, news_of(baseline, now, is_whole=False), mended(baseline, now), is_brief=True
            )
            asked = info.record.get("upstream") or {}
            files = ", ".join(map(str, asked.get("files", ())))
            head = f"{code(run)}: {code(files)} of PyTorch {code(str(asked.get('tree', '?')))}, {plain(str(info.group.kind))}, {code(info.group.build.label)}{note}"
            parts += [head, bullets(code(one.strip(), 300) for one in lines if one)]
        return "\n\n".join(parts)


def _baseline(record: Mapping[str, Any]) -> tuple[SuiteBaseline, str]:
    """Return what was known when the run was made, if its file is still there."""
    settings = record.get("settings") or {}
    threads = max(settings.get("threads") or (0,))
    path = (record.get("upstream") or {}).get("baseline")
    try:
        baseline = read(Path(path)) if isinstance(path, str) else SuiteBaseline()
        note = ""
    except UserError:
        baseline, note = SuiteBaseline(), "; its baseline is not here any more"
    baseline.threads = threads
    return baseline, note
