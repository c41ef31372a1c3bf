"""The command inside pytest, which builds the recipe, makes an item of every case and opens the records."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from stress.commands.exit_status import EXIT_INTERRUPTED
from stress.commands.session import say
from stress.commands.tsan import faults
from stress.commands.tsan.faults import FaultTable
from stress.commands.tsan.options import TsanCommandOptions
from stress.model.errors import UserError
from stress.model.verdict import Verdict
from stress.model.verdict import worst
from stress.plugin.native_items import HarnessItem
from stress.plugin.native_items import suite_of
from stress.plugin.options import xdist_workers
from stress.plugin.run import run_of
from stress.plugin.terminal.table import CORE_SENTENCE
from stress.plugin.terminal.table import SIMULATED_SENTENCE
from stress.sanitizer.native.case_runner import NativeRunner
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.listing import Case
from stress.sanitizer.native.listing import ListingError
from stress.sanitizer.native.report_text import block
from stress.sanitizer.native.report_text import case_data
from stress.sanitizer.native.report_text import listing_text
from stress.sanitizer.native.result import CaseResult
from stress.sanitizer.native.run import StartError

EXIT_FOUND = 1
EXIT_INCONCLUSIVE = 3


class TsanPlugin:
    """Given to `pytest.main` by the command."""

    def __init__(self, options: TsanCommandOptions, recipe: Path) -> None:
        self.options, self.recipe = options, recipe
        self.status: int | None = None
        self.text = ""
        """The result, for stdout."""
        self.results: list[CaseResult] = []
        self.tables: list[FaultTable] = []

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        if xdist_workers(config):
            raise pytest.UsageError("cases run one after another: leave out -n")
        run = run_of(config)
        run.command = "tsan"
        run.extra = {"asked": self.options.to_data()}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Refuse a machine without a compiler, where `pytest tsan` would skip."""
        try:
            self.harness = suite_of(session.config).harness(self.recipe)
        except UserError as error:
            raise pytest.UsageError(error.told("--")) from None

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the cases that were asked for; refuse one that is not there before there are records."""
        try:
            names = {one.name for one in _cases(self.options, self.harness)}
        except ListingError as error:
            raise pytest.UsageError(str(error)) from None
        if self.options.list_only:
            names = set()  # pytest would print how many there are
        items[:] = [one for one in items if _case(one).name in names]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Take the place of pytest's own loop; the records are open by now."""
        if self.options.list_only:
            self.text, self.status = listing_text(self.harness), 0
            return True
        run = run_of(session.config)
        runner = suite_of(session.config).runner(self.recipe, f"{self.recipe.parent.name}/{self.recipe.name}")
        try:
            self._run(runner, [one for one in session.items if isinstance(one, HarnessItem)])
            self.status = self._status()
        except KeyboardInterrupt:
            self.status = EXIT_INTERRUPTED
        except (StartError, OSError) as error:
            raise pytest.UsageError(f"the harness cannot be run: {error}") from None
        run.verdicts.update(str(one.verdict) for one in self.results)
        self.text = self._json(run.folder_path) if self.options.json else self._text(run.folder_path)
        return True

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.status is not None:
            session.exitstatus = self.status

    def _run(self, runner: NativeRunner, items: Sequence[HarnessItem]) -> None:
        options = self.options
        if options.faults:
            for threads in options.threads:
                cases = [_case(one) for one in items if one.threads == threads]
                names = {one.name for one in cases}
                seeded = [one for one in self.harness.listing.faults.values() if one.case in names]
                table = FaultTable(threads, options.iterations, self.harness.simulated)
                self.tables.append(table)
                faults.measure(runner, table, cases, seeded, options.runs, say)
            return
        for one in items:
            name = _case(one).name
            result = runner.case(name, one.threads, options.iterations, options.runs, fault=options.fault)
            self.results.append(result)
            say(f"{result.name}: {result.word}")

    def _status(self) -> int:
        if self.tables:
            if any(one.is_inconclusive for one in self.tables):
                return EXIT_INCONCLUSIVE
            return 0 if all(one.is_as_declared for one in self.tables) else EXIT_FOUND
        run = [one for one in self.results if not one.unavailable]
        if not run:
            return EXIT_INCONCLUSIVE
        verdict = worst(one.verdict for one in run)
        if verdict.is_failure:
            return EXIT_FOUND
        return 0 if verdict.is_green else EXIT_INCONCLUSIVE

    def _text(self, folder: Path) -> str:
        lines = [faults.text(one) + "\n" for one in self.tables]
        for one in self.results:
            if one.verdict != Verdict.PASS and not one.unavailable:
                lines += [block(one, folder), ""]
        lines += [one.sentence for one in self.results]
        lines += [self.harness.audit.not_covered_text] if self.harness.audit.not_covered_text else []
        if self.harness.simulated:
            lines.append(SIMULATED_SENTENCE if self.harness.core is None else CORE_SENTENCE)
        return "\n".join([*lines, f"records: {folder}"])

    def _json(self, folder: Path) -> str:
        data = {
            "simulated": self.harness.simulated,
            "harness": self.harness.to_data(),
            "cases": [case_data(one) for one in self.results],
            "tables": [one.to_data() for one in self.tables],
            "seed": self.options.seed,
            "exit_status": self.status,
            "run": str(folder),
        }
        return json.dumps(data, indent=1, allow_nan=False)


def _case(item: pytest.Item) -> Case:
    assert isinstance(item, HarnessItem), "a recipe is all that is collected"
    assert item.case is not None, "there is a compiler"
    return item.case


def _cases(options: TsanCommandOptions, harness: Harness) -> list[Case]:
    """Return the cases to run; raise `ListingError` for one that is not there, not for this platform or for more threads."""
    listing = harness.listing
    names = options.cases
    if options.fault is not None:
        fault = listing.require_fault(options.fault.partition("/")[0].partition(":")[0])
        if names and names != (fault.case,):
            raise ListingError(f"fault {fault.name} is one of case {fault.case}, not of {', '.join(names)}")
        names = (fault.case,)
    cases = [listing.require_case(name) for name in names]
    for case in cases:
        if harness.platform not in case.platforms:
            raise ListingError(
                f"case {case.name} is for {' and '.join(case.platforms)} only, this is {harness.platform}"
            )
    cases = cases or [one for one in listing.cases.values() if harness.platform in one.platforms]
    few = min(options.threads)
    for case in cases:
        if few < case.threads_min and not options.list_only:
            raise ListingError(f"--threads={few}: {case.name} needs at least {case.threads_min}")
    return cases
