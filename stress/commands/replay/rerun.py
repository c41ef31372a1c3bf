"""Run a recorded ordinary test again, through pytest, which alone knows how to: its fixtures, parameters and conftest files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stress.commands.exit_status import EXIT_USAGE
from stress.commands.hand_over import hand_over
from stress.commands.replay import report
from stress.commands.replay.differences import differences
from stress.commands.replay.failure_kind import FailureKind
from stress.commands.replay.options import ReplayOptions
from stress.commands.replay.recorded import Recorded
from stress.commands.replay.repetition import Repeated
from stress.commands.upstream.suite_needs import SUITE_ARGUMENTS
from stress.plugin.hosted.collector import HostedTest
from stress.plugin.hosted.runner import REPEATED
from stress.plugin.option_table import OPTIONS
from stress.plugin.run import run_of
from stress.record import host_environment


class ReplayPlugin:
    """Given to `pytest.main`: collects what came of the attempts."""

    def __init__(self, recorded: Recorded, rootdir: Path, attempts: int) -> None:
        self.recorded, self.rootdir, self.attempts = recorded, rootdir, attempts
        self.status: int | None = None
        self.done: list[Repeated] = []
        self._alone: Mapping[str, Any] | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        run = run_of(config)
        run.command, run.extra = "replay", {"replays": self.recorded.name}
        config.stash[REPEATED] = self.recorded.attempt

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Say what runs, once it is there to be run."""
        if not any(isinstance(one, HostedTest) for one in session.items):
            return
        run = run_of(session.config)
        assert run.device is not None
        notes = differences(self.recorded, run.device, host_environment(self.rootdir))
        lines = run.device.header_lines
        print(report.heading(self.recorded, lines, notes, self.attempts), flush=True)

    def pytest_mps_record(self, record: Mapping[str, Any]) -> None:
        if record["kind"] != "attempt_end" or record.get("amends"):
            return
        if record["role"] == "crew":
            self.done.append(Repeated(FailureKind.of(record), record))
        elif record["role"] == "reference":
            self._alone = record

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not any(isinstance(one, HostedTest) for one in session.items):
            self.status = EXIT_USAGE
            return
        if not self.done:
            said = self._alone["headline"] if self._alone is not None else ""
            print(f"not from threads: on one thread {said or 'it did not pass'}")
        print(report.result(self.recorded, self.done))
        print(f"records: {run_of(session.config).folder_path}")
        self.status = report.status(self.recorded, self.done)


def rerun_test(recorded: Recorded, options: ReplayOptions, results: Path) -> int:
    """Run the test again from the same threads and with the same seeds; 0 when the recorded result came again."""
    plugin = ReplayPlugin(recorded, options.rootdir, options.attempts)
    status = hand_over(plugin, list(_arguments(recorded, options, results)))
    if status == EXIT_USAGE:
        print(f"{recorded.item}: no such test here; --rootdir=DIR says where it is")
    return status


def _arguments(recorded: Recorded, options: ReplayOptions, results: Path) -> Iterator[str]:
    rootdir = Path(recorded.test_rootdir) if recorded.test_rootdir else options.rootdir.resolve()
    yield str(rootdir / recorded.item)
    yield f"--rootdir={rootdir}"
    if recorded.test_rootdir:
        yield from SUITE_ARGUMENTS
    yield from ("--tb=no", "--no-summary", "--mps-all-tests")
    yield f"--mps-threads={recorded.threads}"
    yield f"--mps-attempts={options.attempts}"
    yield f"--mps-seed={recorded.root_seed}"
    yield f"--mps-perturb={recorded.perturb_level}"
    yield f"--mps-deadline={recorded.deadline_s:g}"
    yield f"--mps-device={recorded.device}"
    yield f"--mps-results={os.path.abspath(results)}"
    if recorded.iterations is not None:
        yield f"--mps-iterations={recorded.iterations}"
    if recorded.order:
        yield "--mps-order=strict" if recorded.order == "strict" else "--mps-order=all"
    if recorded.trace_modules:
        yield f"--mps-trace-modules={','.join(recorded.trace_modules)}"
    if recorded.pytorch is not None:
        yield f"--mps-pytorch={recorded.pytorch}"
        yield f"--mps-core-operators={recorded.core_operators}"
    if recorded.sim is not None:
        by_name = {one.name: one for one in OPTIONS}
        values = {
            "design": recorded.sim.design,
            "faults": recorded.sim.faults,
            "schedule": recorded.sim.schedule_text,
        }
        yield from (by_name[f"sim-{name}"].argument(value) for name, value in values.items() if value)
