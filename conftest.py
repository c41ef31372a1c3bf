"""What the whole checkout shares: the plugin, where it is not installed, and the order and the fixtures of its tests.

pytest loads this file before it parses the command line, wherever in the checkout it is started, and puts this folder on
`sys.path`, so that `stress` can be imported: `pytest --mps-threads=8` works in a fresh clone. Installed, the plugin comes
by its entry point. Runs of scenarios load this file, too: it imports nothing else, and touches tests alone.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from collections import defaultdict
from collections.abc import Generator
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.acceptance import Ran
    from tests.acceptance import RunStress

ROOT = Path(__file__).resolve().parent
TESTS = ROOT / "tests"
DURATIONS = TESTS / "durations.json"
"""CPU seconds of each file of tests, its child processes included; `make durations` measures them again."""
STARTS_PROCESSES = re.compile(
    r"\b(subprocess|warm|run_stress|run_in|runpytest_subprocess|Supervisor|Builder|default_builder|toolchain|small_program|tests\.\w+\.(running|processes|environment))\b"
)
"""What stands in the files that `make test-fast` leaves out: a process that imports torch takes seconds."""
BUILDS = ROOT / "build" / "tests"
"""Builds of the simulated device, which take a minute: each belongs to its sources, its torch and its compiler."""


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register what pyproject.toml has as entry points, under their names: `-p no:NAME` holds here, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, module in project["entry-points"]["pytest11"].items():
        # Under another name where it was asked for as a module: `-p mps_stress_plugin`.
        known = pluginmanager.has_plugin(name) or pluginmanager.has_plugin(module)
        if not known and not pluginmanager.is_blocked(name):
            pluginmanager.register(importlib.import_module(module), name)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "slow: in a file of tests that start processes; set by the root conftest.py"
    )
    if os.environ.get("TESTS_DURATIONS"):
        config.pluginmanager.register(Durations())


# The order of the tests


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Answer `-n auto`: more workers than cores, because many tests wait; each takes half a gigabyte with its children."""
    if config.getoption("mps_threads", None):
        return None  # scenarios, which are not to disturb each other
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 2 * min(cores, 4)


def _file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that the workers end together; or as TESTS_SHUFFLE=SEED says."""
    if not items or not all(item.path.is_relative_to(TESTS) for item in items):
        return
    durations_s: dict[str, float] = json.loads(DURATIONS.read_text())
    files = {_file_of(item.nodeid): item.path for item in items}
    slow = {file for file, path in files.items() if STARTS_PROCESSES.search(path.read_text(encoding="utf-8"))}
    for item in items:
        if _file_of(item.nodeid) in slow:
            item.add_marker("slow")
    order = {file: -durations_s.get(file, float(file in slow)) for file in files}
    if seed := os.environ.get("TESTS_SHUFFLE"):
        draw = random.Random(seed)
        order = {file: draw.random() for file in sorted(files)}
    items.sort(key=lambda item: order[_file_of(item.nodeid)])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what did not run, and why: nothing is left out silently."""
    told = [
        one for ones in terminalreporter.stats.values() for one in ones if isinstance(one, pytest.TestReport)
    ]
    ours = [one for one in told if one.nodeid.startswith(f"{TESTS.name}/")]
    reasons = Counter(one.longrepr[2] for one in ours if one.skipped and isinstance(one.longrepr, tuple))
    for reason, count in sorted(reasons.items()):
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.write_line(f"not run: {tests}: {reason.removeprefix('Skipped: ')}", yellow=True)
    refused = terminalreporter.config.stash.get(REFUSED_RECORDS, [])
    for text in refused[:RECORDS_SHOWN]:
        terminalreporter.write_line(f"a record that its schema refuses: {text}", red=True)
    if len(refused) > RECORDS_SHOWN:
        terminalreporter.write_line(f"... and {len(refused) - RECORDS_SHOWN} more records", red=True)


class Durations:
    """Writes down how much CPU time the files took, which depends little on what else the machine does."""

    def __init__(self) -> None:
        self.spent_s = self._now_s()
        self.of_files: defaultdict[str, float] = defaultdict(float)

    @staticmethod
    def _now_s() -> float:
        warm = sys.modules.get("tests.warm")
        return sum(os.times()[:4]) + (warm.cpu_s() if warm else 0.0)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add what was spent since the last report, in whichever process of xdist runs the test."""
        report = yield
        before_s, self.spent_s = self.spent_s, self._now_s()
        report.cpu_s = self.spent_s - before_s  # type: ignore[attr-defined]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.of_files[_file_of(report.nodeid)] += getattr(report, "cpu_s", 0.0)  # none where a worker crashed

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not hasattr(session.config, "workerinput"):
            told = {file: round(cpu_s, 1) for file, cpu_s in sorted(self.of_files.items()) if cpu_s >= 0.5}
            DURATIONS.write_text(json.dumps(told, indent=1) + "\n")


# The records of all runs that the tests have made

REFUSED_RECORDS = pytest.StashKey[list[str]]()
RECORDS_SHOWN = 10


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Check them with their published schema, in the process that has all of them below its temporary folder."""
    base = session.config._tmp_path_factory._basetemp  # type: ignore[attr-defined]
    if (
        base is None
        or hasattr(session.config, "workerinput")
        or session.config.getoption("mps_threads", None)
    ):
        return
    from tests.valid_records import problems

    refused = session.config.stash[REFUSED_RECORDS] = list(problems(base))
    if refused and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# Fixtures of all folders of tests


@pytest.fixture(scope="session", autouse=True)
def build_cache() -> Iterator[Path]:
    """Keep builds of the simulated device out of the user's cache: in the checkout, for the next run as well."""
    from stress.device.cache import CACHE_VARIABLE

    with pytest.MonkeyPatch.context() as patch:
        if CACHE_VARIABLE not in os.environ:
            patch.setenv(CACHE_VARIABLE, str(BUILDS))
        yield Path(os.environ[CACHE_VARIABLE])


@pytest.fixture(scope="session", autouse=True)
def fork_servers() -> Iterator[None]:
    """Let what tests start in this process have its fork servers from the warm one, as processes of `warm.command` have."""
    from tests import warm

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TESTS_DURATIONS", raising=False)  # a run in a test would write down its own
        if sys.platform == "linux":
            patch.setattr(subprocess, "Popen", warm.Popen)
        yield


@pytest.fixture(scope="session", autouse=True)
def interrupts_arrive() -> Iterator[None]:
    """A shell's background job ignores SIGINT and so would the processes that tests send one: take it up again."""
    is_ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    if is_ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    if is_ignored:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.fixture
def run_stress(pytester: pytest.Pytester) -> RunStress:
    """Return a function: write `scenarios/subject.py` with this source and run pytest on it."""
    from tests.acceptance import run_in

    def run(source: str, *args: str, timeout_s: float = 800.0, file: str = "scenarios/subject.py") -> Ran:
        return run_in(pytester.path, source, *args, timeout_s=timeout_s, file=file)

    return run
