"""`mps-stress tsan`: open the harness, run what was asked for, print it, and say by the exit status what came of it."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from stress.commands import CommandError
from stress.commands.exit_status import EXIT_INTERRUPTED
from stress.commands.tsan import faults
from stress.commands.tsan.faults import FaultTable
from stress.commands.tsan.options import TsanCommandOptions
from stress.model.verdict import Verdict
from stress.model.verdict import worst
from stress.plugin.terminal.table import SIMULATED_SENTENCE
from stress.record import RecordError
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import host_environment
from stress.record import run_id
from stress.sanitizer.native.case_runner import NativeRunner
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.harness import HarnessError
from stress.sanitizer.native.harness import default_recipe
from stress.sanitizer.native.listing import Case
from stress.sanitizer.native.listing import ListingError
from stress.sanitizer.native.report_text import block
from stress.sanitizer.native.report_text import case_data
from stress.sanitizer.native.report_text import listing_text
from stress.sanitizer.native.result import CaseResult
from stress.sanitizer.native.run import StartError

EXIT_FOUND = 1
EXIT_INCONCLUSIVE = 3


def run(options: TsanCommandOptions) -> int:
    """Run what the options ask for and return the exit status; raise `CommandError`."""
    recipe = options.recipe or default_recipe()
    try:
        harness = Harness.open(recipe, say)
        cases = _cases(options, harness)
        _check_threads(options, cases)
    except (HarnessError, ListingError) as error:
        raise CommandError(str(error)) from None
    if options.list_only:
        print(listing_text(harness))
        return 0
    started = time.monotonic()
    writer = _open_records(options, harness)
    runner = NativeRunner(
        harness,
        writer.write,
        writer.side_stem,
        writer.folder.path,
        f"{recipe.parent.name}/{recipe.name}",
        options.seed,
        options.deadline_s,
    )
    done = _Done(options, harness, str(writer.folder.path))
    status: int | None = None
    try:
        done.run(runner, cases)
        status = done.status
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    except (StartError, OSError) as error:
        raise CommandError(f"the harness cannot be run: {error}") from None
    finally:
        verdicts = dict(Counter(str(one.verdict) for one in done.results))
        seconds = time.monotonic() - started
        writer.write(
            "run_end", seconds=seconds, exit_status=status, verdicts=verdicts, simulated=harness.simulated
        )
        writer.close()
    print(done.json_text(status) if options.json else done.text())
    return status


class _Done:
    """What has been run so far."""

    def __init__(self, options: TsanCommandOptions, harness: Harness, folder: str) -> None:
        self.options, self.harness, self.folder = options, harness, folder
        self.results: list[CaseResult] = []
        self.tables: list[FaultTable] = []

    def run(self, runner: NativeRunner, cases: Sequence[Case]) -> None:
        options, listing = self.options, self.harness.listing
        for threads in options.threads:
            if options.faults:
                names = {case.name for case in cases}
                seeded = [one for one in listing.faults.values() if one.case in names]
                table = FaultTable(threads, options.iterations, self.harness.simulated)
                self.tables.append(table)
                faults.measure(runner, table, cases, seeded, options.runs, say)
                continue
            for case in cases:
                self.results.append(
                    runner.case(case.name, threads, options.iterations, options.runs, fault=options.fault)
                )
                say(f"{self.results[-1].name}: {self.results[-1].word}")

    @property
    def status(self) -> int:
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

    def text(self) -> str:
        lines = [faults.text(one) + "\n" for one in self.tables]
        for one in self.results:
            if one.verdict != Verdict.PASS and not one.unavailable:
                lines += [block(one, Path(self.folder)), ""]
        lines += [one.sentence for one in self.results]
        lines += [self.harness.audit.not_covered_text] if self.harness.audit.not_covered_text else []
        if self.harness.simulated:
            lines.append(SIMULATED_SENTENCE)
        return "\n".join([*lines, f"records: {self.folder}"])

    def json_text(self, status: int) -> str:
        data = {
            "simulated": self.harness.simulated,
            "harness": self.harness.to_data(),
            "cases": [case_data(one) for one in self.results],
            "tables": [one.to_data() for one in self.tables],
            "seed": self.options.seed,
            "exit_status": status,
            "run": self.folder,
        }
        return json.dumps(data, indent=1, allow_nan=False)


def _cases(options: TsanCommandOptions, harness: Harness) -> list[Case]:
    """Return the cases that were asked for; raise `ListingError` for one that is not there, or not on this platform."""
    listing = harness.listing
    names = options.cases
    if options.fault is not None:
        fault = listing.require_fault(options.fault.partition("/")[0].partition(":")[0])
        if names and names != (fault.case,):
            raise ListingError(f"fault {fault.name} is one of case {fault.case}, not of {', '.join(names)}")
        names = (fault.case,)
    if not names:
        return [one for one in listing.cases.values() if harness.platform in one.platforms]
    cases = [listing.require_case(name) for name in names]
    for case in cases:
        if harness.platform not in case.platforms:
            raise ListingError(
                f"case {case.name} is for {' and '.join(case.platforms)} only, this is {harness.platform}"
            )
    return cases


def _check_threads(options: TsanCommandOptions, cases: Sequence[Case]) -> None:
    for case in cases:
        few = min(options.threads)
        if few < case.threads_min and not options.list_only:
            raise ListingError(f"--threads={few}: {case.name} needs at least {case.threads_min}")


def _open_records(options: TsanCommandOptions, harness: Harness) -> RecordWriter:
    try:
        folder = RunFolder.create(options.results, run_id())
        folder.probe()
        writer = RecordWriter(folder, on_lost=say)
    except RecordError as error:
        raise CommandError(str(error).replace("--mps-results", "--results")) from None
    writer.write(
        "run",
        command="tsan",
        argv=sys.argv[1:],
        rootdir=str(Path.cwd()),
        seed=options.seed,
        device="none",
        device_reason="the native harness uses no torch device",
        simulated=harness.simulated,
        settings=options.to_data(),
        environment=host_environment(Path.cwd()),
        harness=harness.to_data(),
    )
    return writer


def say(text: str) -> None:
    """Tell how it goes; stdout is for the result alone."""
    print(text, file=sys.stderr, flush=True)
