"""Native programs in pytest: `pytest tsan --mps-threads=8` builds each recipe and makes an item of every case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stress.isolate.device_choice import require_tree
from stress.model.errors import UserError
from stress.plugin.judged_item import JudgedItem
from stress.plugin.judged_item import NotGreen
from stress.plugin.native_arguments import FOLDER
from stress.plugin.native_arguments import SUFFIX
from stress.plugin.native_arguments import only_native
from stress.plugin.native_arguments import recipes_in
from stress.plugin.run import OPTION_PREFIX
from stress.plugin.run import Run
from stress.plugin.settings import Settings
from stress.plugin.terminal.item_row import ItemRow
from stress.sanitizer.native.case_runner import NativeRunner
from stress.sanitizer.native.core_driver import open_tree
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.harness import HarnessError
from stress.sanitizer.native.harness import NoToolchainError
from stress.sanitizer.native.harness import default_recipe
from stress.sanitizer.native.listing import ITERATIONS_DEFAULT
from stress.sanitizer.native.listing import Case
from stress.sanitizer.native.report_text import block
from stress.sanitizer.native.report_text import canaries
from stress.sanitizer.native.result import CaseResult
from stress.sanitizer.native.run import StartError

_SUITE = "harness"


class SuitePlugin:
    """Registered only where `--mps-threads` is given."""

    def __init__(self, config: pytest.Config, settings: Settings, run: Run) -> None:
        self.config, self.settings, self.run = config, settings, run
        self.sentences: list[str] = []
        self._harnesses: dict[Path, Harness | NoToolchainError] = {}
        self._runners: dict[Path, NativeRunner] = {}

    def pytest_sessionstart(self) -> None:
        """Open what the arguments name, so that the header and the run record can report it."""
        recipes = recipes_in(self.config)
        if recipes and self.settings.sim.faults and only_native(self.config):
            raise pytest.UsageError(
                "--mps-sim-faults is for scenarios; a native program has its own faults: mps-stress tsan --fault=NAME"
            )
        for path in recipes:
            try:
                require_tree(self.settings)
                self.harness(path)
            except NoToolchainError:
                continue  # its item is skipped with the reason
            except UserError as error:
                if not only_native(self.config):
                    continue  # its item fails: the scenarios beside it have a result of their own
                raise pytest.UsageError(error.told(OPTION_PREFIX)) from None

    def pytest_report_header(self) -> list[str]:
        return [
            f"mps: {one.program.name} on {one.subject}, {one.audit.units_text}, {one.program.compiler}"
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
        """Return the harness of a recipe, opened once; raise `UserError`. On a core it is that of the tree."""
        path = path.resolve()
        if path not in self._harnesses:
            try:
                opened = self._open(path)
            except NoToolchainError as error:
                self._harnesses[path] = error
                raise
            self._harnesses[path] = opened
            self.run.native, self.run.native_core = opened.to_data(), opened.core
        found = self._harnesses[path]
        if isinstance(found, NoToolchainError):
            raise found
        return found

    def _open(self, path: Path) -> Harness:
        if self.settings.device != "core":
            return Harness.open(path, self.run.say)
        if path != default_recipe().resolve():
            raise HarnessError(
                f"{path.name} builds a program of its own, and --mps-device=core runs the native cases of "
                f"{default_recipe()}: name that file, or leave the option out"
            )
        assert self.settings.pytorch is not None, "refused otherwise"
        return open_tree(self.settings.pytorch, self.run.say)

    def runner(self, path: Path, prefix: str) -> NativeRunner:
        if path not in self._runners:
            self._runners[path] = NativeRunner(
                self.harness(path),
                self.run.record,
                self.run.writer.side_stem,
                self.run.folder_path,
                prefix,
                self.settings.seed,
                self.settings.deadline_s,
                self.run.pids,
            )
        return self._runners[path]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        data = getattr(report, "mps", None)
        if data is not None and report.when == "call" and data["sentence"]:
            self.sentences.append(data["sentence"])

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print what each case is worth, below the table."""
        verbosity = self.config.get_verbosity()
        if verbosity >= 0:
            told = sorted(self.sentences) if verbosity else folded(self.sentences)
            for sentence in [*told, *self._not_covered]:
                terminalreporter.write_line(sentence)

    @property
    def _not_covered(self) -> list[str]:
        missing = {str(one) for one in self._harnesses.values() if isinstance(one, NoToolchainError)}
        unseen = [
            f"not looked for: races in the device's native code, because the native suite did not run: {one}"
            for one in sorted(missing)
        ]
        if not self.sentences:
            return unseen
        opened = [one for one in self._harnesses.values() if isinstance(one, Harness)]
        texts = [one.audit.not_covered_text for one in opened]
        return [*dict.fromkeys(filter(None, texts)), *unseen]


class HarnessFile(pytest.File):
    """A recipe; collecting it builds the program and asks it for its cases."""

    def collect(self) -> Iterator[pytest.Item]:
        plugin = suite_of(self.config)
        try:
            harness = plugin.harness(self.path)
        except NoToolchainError as error:
            yield HarnessItem.from_parent(self, name=_SUITE, case=None, threads=0, missing=str(error))
            return
        except UserError as error:
            if only_native(self.config):
                raise self.CollectError(error.told(OPTION_PREFIX)) from None
            yield HarnessItem.from_parent(
                self, name=_SUITE, case=None, threads=0, broken=error.told(OPTION_PREFIX)
            )
            return
        for threads in plugin.settings.threads:
            for case in harness.listing.cases.values():
                name = f"{case.name}[t{threads}]"
                yield HarnessItem.from_parent(self, name=name, case=case, threads=threads)


class HarnessItem(JudgedItem):
    """One case at one number of threads; its attempts are processes."""

    def __init__(
        self, *, case: Case | None, threads: int, missing: str = "", broken: str = "", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.case, self.threads, self.missing, self.broken = case, threads, missing, broken

    def setup(self) -> None:
        """Skip what does not apply here, with the reason."""
        if self.broken:
            return
        if self.case is None:
            pytest.skip(self.missing)
        plugin = suite_of(self.config)
        platform = plugin.harness(self.path).platform
        if platform not in self.case.platforms:
            pytest.skip(f"this case runs on {' and '.join(self.case.platforms)} only, and this is {platform}")
        if self.threads < self.case.threads_min:
            pytest.skip(
                f"needs at least {self.case.threads_min} threads: --mps-threads={self.case.threads_min}"
            )
        self.skip_if_out_of_time(plugin.run)

    def runtest(self) -> None:
        if self.broken:
            pytest.fail(self.broken, pytrace=False)
        plugin = suite_of(self.config)
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
        plugin.run.verdicts[str(result.verdict)] += 1
        self.take(_row(result))
        if not result.verdict.is_green:
            simulated = "on the simulated Metal: " if result.harness.simulated else ""
            where = "on core: " if result.harness.core is not None else simulated
            message = f"{result.word}: {where}{result.headline}"
            raise NotGreen(block(result, plugin.run.folder_path), message)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, self.name


def folded(sentences: Iterable[str]) -> list[str]:
    """Return the sentences of the cases, those that say the same of several cases as one with the cases' names.

    A sentence is ``CASE THREADS x ITERATIONS: what was seen``, and nothing but the name of the case may differ.
    """
    alike: dict[tuple[str, str], list[str]] = defaultdict(list)
    for sentence in sorted(sentences):
        head, seen = sentence.split(": ", 1)
        case, runs = head.split(" ", 1)
        alike[runs, seen].append(case)
    return [
        f"{cases[0]} {runs}: {seen}"
        if len(cases) == 1
        else f"{len(cases)} cases {runs}, each: {seen}: {', '.join(cases)}"
        for (runs, seen), cases in alike.items()
    ]


def suite_of(config: pytest.Config) -> SuitePlugin:
    plugin = config.pluginmanager.get_plugin("mps-stress-tsan")
    assert isinstance(plugin, SuitePlugin), "registered with it"
    return plugin


def _row(result: CaseResult) -> ItemRow:
    signature = next((one.signature for one in result.runs if one.signature), None)
    return ItemRow(
        item=result.item,
        word=result.word,
        verdict=result.verdict,
        counted=result.counted,
        failures=result.failures,
        headline=result.headline,
        simulated=result.harness.simulated,
        is_core=result.harness.core is not None,
        canaries=canaries(result),
        signature=signature,
        kind=signature or "",
        alike=sum(one.signature == signature for one in result.runs),
        notes=tuple(result.notes),
        sentence=result.sentence,
    )
