"""Native programs in pytest: `pytest tsan --mps-threads=8` builds each recipe and makes an item of every case."""

from __future__ import annotations

from collections.abc import Generator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stress.plugin.items import StressRepr
from stress.plugin.native_arguments import FOLDER
from stress.plugin.native_arguments import SUFFIX
from stress.plugin.native_arguments import only_native
from stress.plugin.native_arguments import recipes_in
from stress.plugin.run import Run
from stress.plugin.settings import Settings
from stress.sanitizer.native.case_runner import NativeRunner
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.harness import HarnessError
from stress.sanitizer.native.harness import NoToolchainError
from stress.sanitizer.native.listing import Case
from stress.sanitizer.native.report_text import block
from stress.sanitizer.native.report_text import canaries
from stress.sanitizer.native.result import ITERATIONS_DEFAULT
from stress.sanitizer.native.result import CaseResult
from stress.sanitizer.native.run import StartError

_SUITE = "harness"


class CaseFailure(Exception):
    """An item that is not green; carries its result to the report."""

    def __init__(self, result: CaseResult) -> None:
        super().__init__(result.headline)
        self.result = result


class SuitePlugin:
    """Registered only where `--mps-threads` is given."""

    def __init__(self, config: pytest.Config, settings: Settings, run: Run) -> None:
        self.config, self.settings, self.run = config, settings, run
        self.sentences: list[str] = []
        self._harnesses: dict[Path, Harness | NoToolchainError] = {}
        self._benches: dict[Path, NativeRunner] = {}

    def pytest_sessionstart(self) -> None:
        """Open what the arguments name, so that the header and the run record can report it."""
        recipes = recipes_in(self.config)
        if recipes and self.settings.sim.faults and only_native(self.config):
            raise pytest.UsageError(
                "--mps-sim-faults is for scenarios; a native program has its own faults: mps-stress tsan --fault=NAME"
            )
        for path in recipes:
            try:
                self.harness(path)
            except NoToolchainError:
                continue  # its item is skipped with the reason
            except HarnessError as error:
                raise pytest.UsageError(str(error)) from None

    def pytest_report_header(self) -> list[str]:
        return [
            f"mps: {one.program.recipe.name} on {'simulated Metal' if one.simulated else 'Metal'}, "
            f"{one.audit.units_text}, {one.program.compiler}"
            for one in self._harnesses.values()
            if isinstance(one, Harness)
        ]

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect `tsan/*.toml`, and a recipe elsewhere that is given by name."""
        if file_path.suffix != SUFFIX:
            return None
        if file_path.parent.name != FOLDER and not parent.session.isinitpath(file_path):
            return None
        collector: pytest.Collector = HarnessFile.from_parent(parent, path=file_path)
        return collector

    def harness(self, path: Path) -> Harness:
        """Return the harness of a recipe, opened once; raise `HarnessError`."""
        path = path.resolve()
        if path not in self._harnesses:
            try:
                opened = Harness.open(path, self._say)
            except NoToolchainError as error:
                self._harnesses[path] = error
                raise
            self._harnesses[path] = opened
            self.run.native = opened.to_data()
        found = self._harnesses[path]
        if isinstance(found, NoToolchainError):
            raise found
        return found

    def runner(self, path: Path, prefix: str) -> NativeRunner:
        if path not in self._benches:
            self._benches[path] = NativeRunner(
                self.harness(path),
                self.run.record,
                self.run.writer.side_stem,
                self.run.folder_path,
                prefix,
                self.settings.seed,
                self.settings.deadline_s,
                self.run.pids,
            )
        return self._benches[path]

    def _say(self, text: str) -> None:
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"mps: {text}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if isinstance(item, HarnessItem):
            if call.when == "call" and item.result is not None:
                report.mps = _row(item.result)  # type: ignore[attr-defined]
            elif report.skipped:
                report.mps_skipped = True  # type: ignore[attr-defined]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = getattr(report, "mps", None)
        if data is not None and report.when == "call" and "sentence" in data:
            self.sentences.append(data["sentence"])

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what each case is worth, below the table."""
        if self.config.get_verbosity() >= 0:
            for sentence in [*sorted(self.sentences), *self._not_covered]:
                terminalreporter.write_line(sentence)

    @property
    def _not_covered(self) -> list[str]:
        if not self.sentences:
            return []
        opened = [one for one in self._harnesses.values() if isinstance(one, Harness)]
        texts = [one.audit.not_covered_text for one in opened]
        return list(dict.fromkeys(filter(None, texts)))


class HarnessFile(pytest.File):
    """A recipe; collecting it builds the program and asks it for its cases."""

    def collect(self) -> Iterator[pytest.Item]:
        plugin = _plugin(self.config)
        try:
            harness = plugin.harness(self.path)
        except NoToolchainError as error:
            yield HarnessItem.from_parent(self, name=_SUITE, case=None, threads=0, missing=str(error))
            return
        except HarnessError as error:
            raise self.CollectError(str(error)) from None
        for threads in plugin.settings.threads:
            for case in harness.listing.cases.values():
                name = f"{case.name}[t{threads}]"
                yield HarnessItem.from_parent(self, name=name, case=case, threads=threads)


class HarnessItem(pytest.Item):
    """One case at one number of threads; its attempts are processes."""

    result: CaseResult | None = None

    def __init__(self, *, case: Case | None, threads: int, missing: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case, self.threads, self.missing = case, threads, missing
        # pytest-run-parallel would mark every line of the output; its own flag for foreign items.
        self._parallel_custom_item = True

    def setup(self) -> None:
        """Skip what does not apply here, with the reason."""
        if self.case is None:
            pytest.skip(self.missing)
        plugin = _plugin(self.config)
        platform = plugin.harness(self.path).platform
        if platform not in self.case.platforms:
            pytest.skip(f"this case runs on {' and '.join(self.case.platforms)} only, and this is {platform}")
        if self.threads < self.case.threads_min:
            pytest.skip(
                f"needs at least {self.case.threads_min} threads: --mps-threads={self.case.threads_min}"
            )
        if plugin.run.budget.is_spent:
            pytest.skip(f"time budget spent (--mps-seconds={plugin.settings.seconds:g}): not run")

    def runtest(self) -> None:
        plugin = _plugin(self.config)
        assert self.case is not None, "skipped otherwise"
        assert self.parent is not None
        runner = plugin.runner(self.path, self.parent.nodeid)
        iterations = plugin.settings.iterations or ITERATIONS_DEFAULT
        try:
            result = runner.case(
                self.case.name, self.threads, iterations, plugin.settings.attempts, item=self.nodeid
            )
        except StartError as error:
            pytest.fail(str(error), pytrace=False)
        if result.unavailable:
            pytest.skip(f"not available here: {result.unavailable}")
        self.result = result
        plugin.run.verdicts[str(self.result.verdict)] += 1
        self.user_properties.append(("mps_verdict", str(self.result.verdict)))
        if self.result.harness.simulated:
            self.user_properties.append(("mps_simulated", True))
        if not self.result.verdict.is_green:
            raise CaseFailure(self.result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, CaseFailure):
            result = excinfo.value.result
            where = "on the simulated Metal: " if result.harness.simulated else ""
            folder = _plugin(self.config).run.folder_path
            message = f"{result.word}: {where}{result.headline}"
            return StressRepr(block(result, folder), str(self.path), 1, message)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def _plugin(config: pytest.Config) -> SuitePlugin:
    plugin = config.pluginmanager.get_plugin("mps-stress-tsan")
    assert isinstance(plugin, SuitePlugin), "registered with it"
    return plugin


def _row(result: CaseResult) -> dict[str, Any]:
    """Return what travels on the pytest report (also from an xdist worker): plain data only."""
    return {
        "word": result.word,
        "letter": result.verdict.letter,
        "verdict": str(result.verdict),
        "canary": False,
        "canaries": canaries(result),
        "simulated": result.harness.simulated,
        "item": result.item,
        "threads": result.threads,
        "attempts": len(result.runs),
        "counted": result.counted,
        "failures": result.failures,
        "controls": 0,
        "control_failures": 0,
        "signature": next((one.signature for one in result.runs if one.signature), None),
        "notes": result.notes,
        "headline": result.headline,
        "seconds": result.seconds,
        "sentence": result.sentence,
    }
