"""The command inside pytest, which collects the tests through children and runs them: collect their outcomes, and report."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stress.commands import CommandError
from stress.commands.exit_status import EXIT_USAGE
from stress.commands.session import say
from stress.commands.upstream import report
from stress.commands.upstream.baseline import SuiteBaseline
from stress.commands.upstream.baseline import place
from stress.commands.upstream.baseline import read
from stress.commands.upstream.news import mended
from stress.commands.upstream.news import news_of
from stress.commands.upstream.options import UpstreamOptions
from stress.commands.upstream.outcomes import SuiteOutcomes
from stress.model.spec import RESULTS_DEFAULT
from stress.model.text import count
from stress.plugin.hosted.collector import HostedTest
from stress.plugin.hosted.runner import CALLS_S_MAX
from stress.plugin.run import Run
from stress.plugin.run import run_of

COMMAND = "upstream"
_FOLDER = "upstream"


class UpstreamPlugin:
    """Given to `pytest.main` by the command."""

    def __init__(self, options: UpstreamOptions, tree: str) -> None:
        """`tree` is the version of the source tree."""
        self.options, self.tree = options, tree
        self.status: int | None = None
        """Exit status of the command, once the tests have run."""
        self.outcomes = SuiteOutcomes()
        self._baseline = SuiteBaseline()
        self._problem = ""
        self._total = 0

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        run_of(config).command = COMMAND
        config.stash[CALLS_S_MAX] = self.options.deadline_s

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Read the baseline of the device, which is known by now, before the first test runs."""
        run = run_of(session.config)
        assert run.device is not None
        for line in run.device.header_lines:
            say(line)
        self._open_baseline(run)
        options = self.options
        say(
            f"mps: {', '.join(options.files)} of PyTorch {self.tree}, alone, "
            f"{f'then {options.attempts} x from {options.threads} threads, ' if options.threads > 1 else ''}"
            f"seed {run.settings.seed:#x}"
        )
        run.extra = {
            "upstream": {
                "tree": self.tree,
                "files": list(options.files),
                "baseline": str(self._baseline.path) if self._baseline.path is not None else None,
            }
        }

    def _open_baseline(self, run: Run) -> None:
        assert run.device is not None
        options = self.options
        self._path, known = place(options.baseline, self.tree, run.device.name, _own_folder(options))
        if known is not None:
            try:
                self._baseline = read(known)
            except CommandError as error:
                raise pytest.UsageError(str(error)) from None
            say(
                f"mps: baseline {known}: {count(len(self._baseline.tests), 'test')}, made {self._baseline.made} with torch "
                f"{self._baseline.torch}"
            )
        now = self._baseline
        now.tree, now.device = self.tree, run.device.name
        version = str(run.device.torch.get("version", "?"))
        if now.torch not in ("", version) and options.write_baseline:
            for one in now.tests.values():  # of another torch: only whether it is new was to be said
                one.failures = one.attempts = 0
        now.torch, now.made = version, time.strftime("%Y-%m-%d")
        now.threads, now.iterations = options.threads, options.iterations

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self._problem:
            self._problem = _explained(report.longreprtext)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._total = sum(isinstance(one, HostedTest) for one in session.items)
        say(f"mps: {count(self._total, 'test')}")

    def pytest_mps_record(self, record: Mapping[str, Any]) -> None:
        self.outcomes.add(record)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._problem or not self._total:
            none = f"no test of {', '.join(self.options.files)} is left to run on this device; --device=sim has MPS"
            print(f"mps-stress upstream: {self._problem or none}", file=sys.stderr)
            self.status = EXIT_USAGE
            return
        now = self.outcomes.tests
        is_whole = self.options.is_whole and len(now) == self._total
        news = news_of(self._baseline, now, is_whole=is_whole)
        print()
        for line in report.lines(self._baseline, now, news, mended(self._baseline, now)):
            print(line)
        if len(now) < self._total:
            print(f"{self._total - len(now)} of {self._total} tests did not run: the run ended before")
        print(f"records: {run_of(session.config).folder_path}")
        if self.options.write_baseline:
            self._baseline.write(self._path, now)
            print(f"baseline: {self._path}")
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self.status = 1 if news or len(now) < self._total else 0


def _own_folder(options: UpstreamOptions) -> Path:
    """Return where the user's own baselines are: beside the runs."""
    is_usual = options.results.name == Path(RESULTS_DEFAULT).name
    return (options.results.parent if is_usual else options.results) / _FOLDER


def _explained(text: str) -> str:
    """Return why a test file cannot be collected, with the way out where it is known."""
    for module in ("expecttest", "numpy", "hypothesis", "yaml"):
        if f"No module named '{module}'" in text:
            return f"PyTorch's tests need {module}, which torch does not install: pip install {module}"
    return text
