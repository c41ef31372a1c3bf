"""Results of upstream's tests, alone and from threads: of each run, and of stock torch beside the patched one."""

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
from stress.commands.upstream.outcomes import BAD
from stress.commands.upstream.outcomes import PASSED
from stress.commands.upstream.outcomes import SKIPPED
from stress.commands.upstream.outcomes import XFAILED
from stress.commands.upstream.outcomes import SuiteOutcome
from stress.commands.upstream.outcomes import SuiteOutcomes
from stress.model.errors import UserError
from stress.model.markdown import bullets
from stress.model.markdown import code
from stress.model.markdown import plain
from stress.model.markdown import table
from stress.model.text import count
from stress.record.aggregate import RunInfo

ROWS_SHOWN = 60
NOT_RUN = "not run"


@dataclass
class UpstreamRuns:
    """Collects the runs of `mps-stress upstream`: the tests alone and from threads."""

    runs: dict[str, RunInfo] = field(default_factory=dict)
    outcomes: dict[str, SuiteOutcomes] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any], info: RunInfo) -> None:
        self.runs[info.run] = info
        self.outcomes.setdefault(info.run, SuiteOutcomes()).add(record)

    @property
    def newest(self) -> RunInfo | None:
        """Return the newest run in which a test ran."""
        ran = [one for run, one in self.runs.items() if self.outcomes[run].tests]
        return max(ran, key=lambda one: one.time, default=None)

    @property
    def tests(self) -> dict[str, SuiteOutcome]:
        """Return what came of the tests of the newest run."""
        return self.outcomes[self.newest.run].tests if self.newest is not None else {}

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


@dataclass(frozen=True)
class UpstreamCompared:
    """The newest run of upstream's tests among the base runs (stock torch), beside the newest of the others (the patched one)."""

    stock: UpstreamRuns
    patched: UpstreamRuns

    @property
    def is_complete(self) -> bool:
        return bool(self.stock.tests) and bool(self.patched.tests)

    @property
    def is_simulated(self) -> bool:
        newest = (self.stock.newest, self.patched.newest)
        return any(one is not None and one.group.kind.is_simulated for one in newest)

    @property
    def lost(self) -> list[str]:
        """Return the tests that pass on stock torch and do not, or did not run, on the patched one."""
        before, after = self.stock.tests, self.patched.tests
        return [
            test for test, one in sorted(before.items())
            if one.is_good and not (test in after and after[test].is_good)
        ]  # fmt: skip

    def section(self) -> str:
        if not self.is_complete:
            return ""
        before, after = self.stock.tests, self.patched.tests
        differ = [
            test
            for test in sorted(before.keys() | after.keys())
            if _word(before.get(test)) != _word(after.get(test))
        ]
        parts = [
            table(
                [
                    "torch",
                    "build",
                    "passed",
                    "failed",
                    "crashed",
                    "hung",
                    "skipped",
                    "fail from threads only",
                ],
                [_row("stock", self.stock), _row("patched", self.patched)],
            ),
            f"{count(len(differ), 'test')} with a different outcome; {count(len(self.lost), 'test')} pass on stock torch "
            "only. One run of each: a flaky test differs by chance.",
        ]
        if differ:
            rows = [[code(test), _word(before.get(test)), _word(after.get(test)), _text(after.get(test))]
                    for test in differ[:ROWS_SHOWN]]  # fmt: skip
            parts.append(table(["test", "stock", "patched", "what the patched one says"], rows))
        return "\n\n".join(parts)


def _word(one: SuiteOutcome | None) -> str:
    if one is None:
        return NOT_RUN
    return f"{one.threads} from threads" if one.fails_from_threads else one.alone


def _text(one: SuiteOutcome | None) -> str:
    return code(one.text) if one is not None and one.text else ""


def _row(name: str, runs: UpstreamRuns) -> list[str]:
    newest = runs.newest
    assert newest is not None
    alone = Counter(one.alone for one in runs.tests.values())
    from_threads = sum(one.fails_from_threads for one in runs.tests.values())
    counts = [alone[PASSED] + alone[XFAILED], *(alone[one] for one in BAD), alone[SKIPPED], from_threads]
    return [name, code(newest.group.build.label), *map(str, counts)]


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
