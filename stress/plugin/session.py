"""The plugin object of a run with `--mps-threads`: collection, header, run life cycle, words and table."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stress.model import system
from stress.model.shipped import shipped_scenarios
from stress.model.text import count
from stress.order import suppressions
from stress.plugin import arguments
from stress.plugin import tsan_run as tsan
from stress.plugin.failed_first import recorded_failures
from stress.plugin.hosted.collector import HostedFile
from stress.plugin.hosted.collector import HostedTest
from stress.plugin.hosted.collector import is_hosted
from stress.plugin.hosted.listed import CollectedFile
from stress.plugin.hosted.runner import ask
from stress.plugin.hosted.runner import run_hosted
from stress.plugin.items import ScenarioItem
from stress.plugin.items import make_items
from stress.plugin.judged_item import JudgedItem
from stress.plugin.late_crash_reports import wait_and_amend
from stress.plugin.native_arguments import only_native
from stress.plugin.options import worker_input
from stress.plugin.options import xdist_workers
from stress.plugin.run import RUN_KEY
from stress.plugin.run import Run
from stress.plugin.settings import Settings
from stress.plugin.shipped_files import resolve_arguments
from stress.plugin.shipped_files import shipped_module
from stress.plugin.terminal import github
from stress.plugin.terminal import progress
from stress.plugin.terminal.failure_groups import FailureGroups
from stress.plugin.terminal.failure_groups import row_of_report
from stress.plugin.terminal.item_row import ItemRow
from stress.plugin.terminal.table import closing_table
from stress.plugin.terminal.table import note_lines
from stress.plugin.terminal.table import sentences
from stress.plugin.uncollected import Uncollected
from stress.scenario.variants import SCENARIO_FOLDER
from stress.scenario.variants import is_scenario_class

_NOTHING_TESTED = "every scenario was skipped: nothing was tested"


class StressPlugin:
    """Registered only where `--mps-threads` is given."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self.config, self.settings = config, settings
        self.rows: list[ItemRow] = []
        self.skipped = 0
        self.left_out = 0
        self.late: list[str] = []
        self.failure_groups = FailureGroups()
        self.not_collected = self.recorded = ""
        self.uncollected = Uncollected(config.rootpath)
        self.is_worker = hasattr(config, "workerinput")
        self.runs_items = self.is_worker or not xdist_workers(config)
        run = Run(settings, config)
        if self.is_worker:
            run.run_id = worker_input(config)["mps_run"]
        config.stash[RUN_KEY] = run
        self.run = run
        self.dry = bool(
            config.option.collectonly
            or config.getoption("setuponly", False)
            or config.getoption("setupplan", False)
        )
        self.shipped = resolve_arguments(config)
        self._choose_arguments()

    def _choose_arguments(self) -> None:
        """Without arguments, add scenarios to the user's own tests, or run them alone: see `arguments.choose`."""
        config = self.config
        given = config.args_source == pytest.Config.ArgsSource.ARGS
        if not given and not self.settings.all_tests and not config.getoption("markexpr", ""):
            self.not_collected = arguments.choose(config)

    # collection

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect `scenarios/*.py`; files given by name are collected by pytest itself."""
        if file_path.suffix != ".py" or file_path.name == "__init__.py":
            return None
        by_pytest = parent.session.isinitpath(file_path) or any(
            file_path.match(pattern) for pattern in self.config.getini("python_files")
        )
        if by_pytest:
            return None
        if file_path.parent.name != SCENARIO_FOLDER:
            self.uncollected.look_at(file_path)
            return None
        module: pytest.Collector = pytest.Module.from_parent(parent, path=file_path)
        return shipped_module(file_path, parent) or module

    def pytest_pycollect_makemodule(
        self, module_path: Path, parent: pytest.Collector
    ) -> pytest.Module | None:
        settings = self.settings
        if settings.isolation and is_hosted(module_path, all_tests=settings.all_tests):
            hosted: Any = HostedFile.from_parent(parent, path=module_path)
            hosted.ask, hosted.execute = self._ask, run_hosted
            return hosted
        return shipped_module(module_path, parent)

    def _ask(self, file: Path) -> CollectedFile:
        """Return what a child collects from a file of ordinary tests, with the device that they are to run on."""
        if self.run.device is None:
            self._open_device()
        return ask(self.run, file)

    def pytest_pycollect_makeitem(self, collector: Any, name: str, obj: object) -> list[pytest.Item] | None:
        """Turn scenario classes into items. pytest's own Module has already imported the file."""
        if not isinstance(collector, pytest.Module) or not is_scenario_class(obj, collector.obj):
            return None
        return list(make_items(collector, name, obj, self.settings.threads))  # type: ignore[arg-type]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what the profile leaves out, unless an argument names an item or a class: that was asked for."""
        self._failed_first(items)
        # `trylast`: what -k, -m and other plugins have left out is not counted as left to the full profile.
        if any("::" in one for one in config.args):
            return
        out = [
            one
            for one in items
            if isinstance(one, ScenarioItem) and self.settings.leaves_out(one.scenario_class, one.indices)
        ]
        if out:
            self.left_out = len(out)
            config.hook.pytest_deselected(items=out)
            items[:] = [one for one in items if one not in set(out)]

    def _failed_first(self, items: list[pytest.Item]) -> None:
        """Give items their recorded failures, and put those that have any before the others."""
        if not self.settings.failed_first or self.run.device is None:
            return
        mine = {one.nodeid: one for one in items if isinstance(one, ScenarioItem)}
        found = recorded_failures(self.settings.results, mine, self.run.device, but=self.run.run_id)
        for nodeid, failures in found.items():
            mine[nodeid].recorded_failures = failures
        items.sort(key=lambda one: one.nodeid not in found)
        self.recorded = f"mps: failed first: {count(sum(map(len, found.values())), 'recorded failure')} of {count(len(found), 'item')}"

    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> list[str]:
        # `--collect-only -q` prints ids and nothing else, for programs; pytest's own last line counts the deselected.
        if self.dry and self.config.get_verbosity() < 0:
            return []
        them = "it" if self.left_out == 1 else "them"
        slow = f"mps: {count(self.left_out, 'slow item')} deselected; --mps-profile=full runs {them}"
        hosted = sum(isinstance(one, HostedTest) for one in items)
        isolated = f"mps: {count(hosted, 'ordinary test')}, isolated: collected and run in child processes"
        lines = [
            slow if self.left_out else "",
            isolated if hosted else "",
            self.recorded,
            self.not_collected,
            self.uncollected.line,
        ]
        return [line for line in lines if line]

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        items = [item for item in session.items if isinstance(item, (ScenarioItem, HostedTest))]
        share = max(1, xdist_workers(self.config))
        self.run.budget.items_left = -(-len(items) // share)

    # the run

    def pytest_sessionstart(self) -> None:
        # Order: pytest prints its header, and xdist starts its workers, in hooks of this name that are `trylast`. By
        # then the device is open, so that the header names it and workers are given it instead of choosing for
        # themselves.
        self.config.pluginmanager.register(Words(), "mps-stress-words")
        self.config.pluginmanager.register(self.failure_groups, "mps-stress-failures")
        if not self.dry and progress.is_wanted(self.config):
            self.run.progress = progress.Progress(self.config, self.run)
            self.config.pluginmanager.register(self.run.progress, progress.NAME)
        elif not self.dry and progress.is_logged(self.config):
            self.config.pluginmanager.register(progress.LoggedProgress(self.config, self.run), progress.NAME)
        runs_scenarios_or_isolates = not self.settings.all_tests or self.settings.isolation
        if not self.dry and runs_scenarios_or_isolates and not only_native(self.config):
            self._open_device()

    def _open_device(self) -> None:
        self.run.open_device()
        if not self.runs_items:
            self.run.close_supervisor()

    def pytest_report_header(self) -> list[str]:
        settings, run = self.settings, self.run
        threads = ",".join(map(str, settings.threads))
        budget = f", at most {settings.seconds:g} s" if settings.seconds is not None else ""
        lines = [
            f"mps: threads {threads}, attempts {settings.attempts}{budget}, seed {settings.seed:#x}, "
            f"perturb {settings.perturb}"
        ]
        if system.is_rehearsal():
            lines.append(
                f"mps: a rehearsal of macOS on {sys.platform} ({system.REHEARSAL}): it proves nothing about macOS"
            )
        if run.device is not None:
            lines += run.device.header_lines
        if run.tsan is not None:
            lines.append(tsan.header_line(run.tsan))
        if self.not_collected and not self.runs_items:  # workers collect, and say nothing
            lines.append(self.not_collected)
        lines += [f"mps: {one.told} in all scenarios" for one in settings.operators]
        if self.shipped:
            lines.append(f"mps: shipped scenarios: {', '.join(self.shipped)} ({shipped_scenarios()})")
        if not self.dry and run.perturbed_line:
            lines.append(run.perturbed_line)
        if not self.dry:
            lines.append(f"mps: records {run.folder_path}")
        if not settings.isolation:
            lines.append("mps: no isolation: a crash ends pytest, and a hang in native code is not caught")
        return lines

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Open the records before the first item, so that a full disk is reported at once."""
        if not self.dry:
            worker = worker_input(self.config)["workerid"] if self.is_worker else None
            if self.run.device is None and any(isinstance(item, ScenarioItem) for item in session.items):
                self._open_device()  # with --mps-all-tests only where a scenario was found: it takes seconds
            self.run.check_torch()
            create = (
                not self.is_worker and not self.run.folder_path.is_dir()
            )  # a campaign may go on in its own
            self.run.open_records(create=create, worker=worker)
            self.run.budget.begin()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if isinstance(item, JudgedItem):
            if call.when == "call" and item.row is not None:
                report.mps = item.row.to_data()  # type: ignore[attr-defined]
            elif report.skipped and isinstance(report.longrepr, tuple):
                path, line, _ = item.location
                report.longrepr = (path, (line or 0) + 1, report.longrepr[2])
                report.mps_skipped = True  # type: ignore[attr-defined]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = row_of_report(report)
        if row is not None:
            self.rows.append(row)
        self.skipped += bool(getattr(report, "mps_skipped", False))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        # Order: the terminal's hook of this name is a wrapper that prints the summary when all others have run, so the
        # late crash reports below are in it. Its `exitstatus` is older than this: pytest ends with
        # `session.exitstatus`.
        if self.runs_items and not self.dry:
            self.late = wait_and_amend(self.run)
            if self.late and exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if not self.is_worker and self.skipped and not self.rows and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
        self.run.close(int(session.exitstatus))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        self.failure_groups.put_back()
        for line in self.late:
            terminalreporter.write_line(f"mps: late crash report: {line}", red=True)
        if self.skipped and not self.rows:
            terminalreporter.write_line(f"mps: {_NOTHING_TESTED}", red=True)
        if not self.rows:
            return
        rows = sorted(self._with_last_words(), key=lambda row: row.item)
        self._tell_github(terminalreporter, rows)
        if self.config.get_verbosity() < 0:
            return
        simulated = any(row.simulated for row in self.rows)
        is_core = any(row.is_core for row in self.rows)
        what = (
            " (a PyTorch tree on simulated Metal)" if is_core else " (simulated device)" if simulated else ""
        )
        terminalreporter.section(f"mps-stress{what}")
        writer = terminalreporter._tw
        fold = self.config.get_verbosity() < 1
        writer.line(closing_table(rows, width=writer.fullwidth, color=writer.hasmarkup, fold=fold))
        writer.line("")
        for sentence in self._sentences(rows):
            writer.line(sentence)

    def _with_last_words(self) -> list[ItemRow]:
        """Return the rows, each with its word in the last run on this device, and remember those of this one."""
        cache = getattr(self.config, "cache", None)  # without pytest's cacheprovider there is none
        if cache is None:
            return self.rows
        key = f"mps-stress/words-{self.run.device.name if self.run.device is not None else 'none'}"
        words = cache.get(key, {})
        rows = [
            replace(row, was=words[row.item]) if words.get(row.item, row.word) != row.word else row
            for row in self.rows
        ]
        cache.set(key, {**words, **{row.item: row.word for row in self.rows}})
        return rows

    def _sentences(self, rows: Sequence[ItemRow]) -> list[str]:
        told = [row.tsan for row in rows if row.tsan is not None]
        unseen = (
            tsan.unseen_line(self.settings.sim.design, is_core=self.settings.device == "core")
            if self.settings.tsan
            else ""
        )
        closing = [*tsan.closing_lines(told), *([unseen] if unseen else [])]
        checked = [row.order for row in rows if row.order is not None]
        hidden: Counter[str] = Counter()
        for one in checked:
            hidden.update(one["suppressed"])
        closing += suppressions.closing_lines(
            self.settings.order_suppressions, hidden, sum(one["checked"] for one in checked)
        )
        return [*sentences(rows), *closing, *note_lines(rows), f"records: {self.run.folder_path}"]

    def _tell_github(self, reporter: pytest.TerminalReporter, rows: Sequence[ItemRow]) -> None:
        placed = []
        for report in reporter.stats.get("failed", []):
            row = row_of_report(report)
            if row is not None:
                path, line, _ = report.location
                placed.append(github.PlacedRow(row, self.config.rootpath / path, (line or 0) + 1))
        for one in github.error_lines(placed):
            reporter.write_line(one)
        device = self.run.device.name if self.run.device is not None else "?"
        problem = github.append_summary(
            github.summary(f"mps-stress on {device}", rows, self._sentences(rows))
        )
        if problem:
            reporter.write_line(f"mps: {problem}", red=True)


class Words:
    """Put our words into the progress and the short summary; pytest's categories stay.

    Registered when the session starts, so that it is the outermost wrapper: pytest-run-parallel puts its own
    word on every item otherwise, in a wrapper that it registers while configuring.
    """

    @pytest.hookimpl(tryfirst=True, wrapper=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> Generator[None, Any, Any]:
        status = yield
        row = row_of_report(report)
        if row is None:
            return status
        if report.passed:
            return "passed", row.verdict.letter, row.word
        return "failed", row.verdict.letter, (row.word, {"red": True})


class XdistBridge:
    """Pass settings and results between the xdist controller and its workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give every worker the run's folder, and the seed when it was drawn here."""
        run = self.config.stash[RUN_KEY]
        node.workerinput["mps_run"] = run.run_id
        node.workerinput["mps_seed"] = run.settings.seed
        if run.device is not None:  # which is built by now
            node.workerinput["mps_device"] = [run.device.name, run.device.reason]
