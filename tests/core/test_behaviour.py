"""The plugin under pytest's own options: -x, -k, --lf, -q, -v, --junitxml, -n, time budgets, no isolation."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from stress.record import RunReader
from stress.record import read_run
from stress.record.folder import host_name
from tests import warm
from tests.acceptance import run_in
from tests.core.processes import write_scenarios

SUBJECTS = """
class AFine(Scenario):
    iterations = 2
    params = {"size": [1, 2]}
    def step(self, state, x):
        return torch.ones(self.size) * stress.current().thread_index

class BWrong(Scenario):
    iterations = 2
    def step(self, state, x):
        return torch.full((2,), float(sum(t.name.startswith("crew") for t in threading.enumerate()) > 1) + 10 * stress.current().thread_index)

class CNever(Scenario):
    requires = ["accelerator"]
    def step(self, state, x):
        return torch.ones(1) * stress.current().thread_index

class DFine(Scenario):
    iterations = 2
    acceptable = {"race": "this one may raise"}
    def step(self, state, x):
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("as agreed")
        return torch.ones(1) * stress.current().thread_index

class ECanary(BWrong):
    canary = True

class FBlindCanary(AFine):
    canary = True
    params = {"size": [1]}
"""
SKIPPED = """
class Never(Scenario):
    requires = ["accelerator"]
    def step(self, state, x):
        return torch.ones(1) * stress.current().thread_index

class TooFew(Scenario):
    threads_min = 100
    def step(self, state, x):
        return torch.ones(1) * stress.current().thread_index

class TooMany(Scenario):
    threads_max = 1
    def step(self, state, x):
        return torch.ones(1) * stress.current().thread_index
"""


def runs(folder: Path) -> list[Path]:
    path = folder / "results" / "runs"
    return sorted(path.iterdir(), key=lambda one: one.stat().st_mtime) if path.is_dir() else []


def pytest_in(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with its cache, which `run_in` leaves out."""
    command = warm.command("pytest", "--mps-threads=4", "--mps-device=cpu", "--mps-attempts=1")
    return subprocess.run(
        [*command, *args], cwd=folder, capture_output=True, text=True, timeout=800, check=False
    )


def items(folder: Path) -> dict[str, dict[str, Any]]:
    return {one["item"].rpartition("::")[2]: dict(one) for one in RunReader(folder) if one["kind"] == "item"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_scenarios(folder, SUBJECTS)
    return folder


@pytest.fixture(scope="module")
def whole(project: Path) -> subprocess.CompletedProcess[str]:
    """One verbose run of everything, with a report in XML."""
    return pytest_in(project, "-v", "-rs", "--junitxml=report.xml", "-o", "junit_family=xunit2")


@pytest.fixture(scope="module")
def records(project: Path, whole: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return items(runs(project)[0])


class TestAVerboseRun:
    def test_shows_our_words_in_the_categories_of_pytest(
        self, whole: subprocess.CompletedProcess[str]
    ) -> None:
        words = dict(
            re.findall(r"^scenarios/subject.py::(\S+) (.*?) +\[ *\d+%\]$", whole.stdout, re.MULTILINE)
        )
        skip = words.pop("CNever[t4]")
        assert skip.startswith("SKIPPED (cpu here has no accelerator")
        assert words == {
            "AFine[1-t4]": "PASSED",
            "AFine[2-t4]": "PASSED",
            "BWrong[t4]": "MISMATCH",
            "DFine[t4]": "PASSED",
            "ECanary[t4]": "CANARY FOUND",
            "FBlindCanary[1-t4]": "CANARY MISSED",
        }
        assert re.search(r"=== 2 failed, 4 passed, 1 skipped in ", whole.stdout)
        assert whole.returncode == pytest.ExitCode.TESTS_FAILED

    def test_says_what_an_unfound_canary_means(self, whole: subprocess.CompletedProcess[str]) -> None:
        assert "canary not found in 1 attempt: the planted fault was not detected" in whole.stdout

    def test_names_reason_and_place_of_a_skip(self, whole: subprocess.CompletedProcess[str]) -> None:
        assert re.search(
            r"^SKIPPED \[1\] scenarios/subject.py:\d+: cpu here has no accelerator",
            whole.stdout,
            re.MULTILINE,
        )

    def test_says_what_was_accepted(self, whole: subprocess.CompletedProcess[str], records: Any) -> None:
        assert records["DFine[t4]"]["verdict"] == "pass"
        assert records["DFine[t4]"]["verdicts"] == {"race": 1}

    def test_ends_with_the_table_and_the_place_of_the_records(
        self, project: Path, whole: subprocess.CompletedProcess[str]
    ) -> None:
        assert re.search(r"^ *(?:\S*::)?BWrong\[t4\] +MISMATCH +1/1 ", whole.stdout, re.MULTILINE)
        assert f"records: {runs(project)[0]}" in whole.stdout


class TestTheXmlReport:
    @pytest.fixture
    def cases(self, project: Path, whole: subprocess.CompletedProcess[str]) -> dict[str, ElementTree.Element]:
        listed = list(ElementTree.parse(project / "report.xml").iter("testcase"))
        assert len(listed) == 7
        return {one.get("name", ""): one for one in listed}

    def test_has_what_a_program_needs_of_every_case(
        self, project: Path, cases: dict[str, ElementTree.Element]
    ) -> None:
        properties = {
            name: {one.get("name"): one.get("value") for one in case.iter("property")}
            for name, case in cases.items()
        }
        run = runs(project)[0]
        opened = next(dict[str, Any](one) for one in read_run(run) if one["kind"] == "run")
        common = {
            "mps_seed": f"{opened['seed']:#x}",
            "mps_device": "cpu",
            "mps_torch": f"{opened['torch']['version']} {opened['torch']['git']}",
            "mps_host": host_name(),
        }
        green = {"mps_verdict": "pass", "mps_failures": "0 of 1", "mps_interval": "below 95.0 %"}
        assert properties["AFine[1-t4]"] == green | common
        wrong = properties["BWrong[t4]"]
        replay = wrong.pop("mps_replay")
        assert replay is not None
        assert re.fullmatch(rf"mps-stress replay \S*{run.name}/\d+.*", replay)
        assert wrong == {
            "mps_verdict": "mismatch", "mps_failures": "1 of 1", "mps_interval": "2.5-100.0 %"
        } | common  # fmt: skip
        assert properties["CNever[t4]"] == {}

    def test_has_real_times(self, cases: dict[str, ElementTree.Element], records: Any) -> None:
        for name, record in records.items():
            assert float(cases[name].get("time", 0)) >= record["seconds"] - 0.002

    def test_has_the_headline_and_the_block_of_a_failure(self, cases: dict[str, ElementTree.Element]) -> None:
        failure = cases["BWrong[t4]"].find("failure")
        assert failure is not None
        assert failure.get("message", "").startswith("MISMATCH in 1 of 1 attempts: ")
        assert "BWrong[t4]: MISMATCH in 1 of 1 attempts (100.0 %" in (failure.text or "")
        assert "repeat: pytest " in (failure.text or "")

    def test_says_why_a_case_was_skipped(self, cases: dict[str, ElementTree.Element]) -> None:
        (skipped,) = cases["CNever[t4]"].iter("skipped")
        assert skipped.get("message") == "cpu here has no accelerator"


class TestTheLastFailures:
    def test_are_found_again_and_nothing_else_runs(
        self, project: Path, whole: subprocess.CompletedProcess[str]
    ) -> None:
        before = runs(project)
        done = pytest_in(project, "--lf", "-q")
        assert done.returncode == pytest.ExitCode.TESTS_FAILED
        (again,) = [one for one in runs(project) if one not in before]
        assert set(items(again)) == {"BWrong[t4]", "FBlindCanary[1-t4]"}
        assert "mps: " not in done.stdout, "-q leaves out the header"
        assert "records: " not in done.stdout, "and the table"
        assert "MISMATCH in 1 of 1 attempts" in done.stdout, "but not what failed"


class TestStopping:
    def test_at_the_first_failure_is_exact(self, project: Path, whole: object) -> None:
        before = runs(project)
        done = pytest_in(project, "-x", "-m", "mps_stress", "-p", "no:cacheprovider", "-k", "not 1-")
        assert done.returncode == pytest.ExitCode.TESTS_FAILED
        assert "1 failed, 1 passed, 2 deselected" in done.stdout
        (stopped,) = [one for one in runs(project) if one not in before]
        assert list(items(stopped)) == ["AFine[2-t4]", "BWrong[t4]"]


class TestSeveralProcesses:
    @pytest.fixture(scope="class")
    @classmethod
    def spread(cls, project: Path, whole: object) -> tuple[subprocess.CompletedProcess[str], Path]:
        before = runs(project)
        done = pytest_in(project, "-n2", "-v", "-p", "no:cacheprovider", "-k", "AFine or BWrong or CNever")
        (folder,) = [one for one in runs(project) if one not in before]
        return done, folder

    def test_write_one_file_each_into_one_folder(self, spread: Any) -> None:
        _, folder = spread
        reader = RunReader(folder)
        listed = list(reader)
        assert not reader.unfinished
        starts = [one for one in listed if one["kind"] == "run"]
        assert len(list(folder.glob("*.jsonl"))) == len(starts)
        assert {one.get("worker") for one in starts} >= {"gw0", "gw1"}
        assert len({one["seed"] for one in starts}) == 1
        assert {one["run"] for one in listed} == {folder.name}
        assert set(items(folder)) == {"AFine[1-t4]", "AFine[2-t4]", "BWrong[t4]"}

    def test_give_one_table_and_one_exit_status(self, spread: Any) -> None:
        done, folder = spread
        assert done.returncode == pytest.ExitCode.TESTS_FAILED
        assert "1 failed, 2 passed, 1 skipped" in done.stdout
        assert done.stdout.count(f"records: {folder}") == 1
        assert re.search(r"^ *(?:\S*::)?BWrong\[t4\] +MISMATCH +1/1 ", done.stdout, re.MULTILINE)
        assert re.search(r"\[gw\d\] \[ *\d+%\] MISMATCH scenarios/subject.py::BWrong\[t4\]", done.stdout)
        assert f"seed {next(iter(RunReader(folder)))['seed']:#x}" in done.stdout  # type: ignore[typeddict-item]


class TestARunOfSkips:
    def test_is_not_green(self, tmp_path: Path) -> None:
        ran = run_in(tmp_path, SKIPPED, "-rs")
        assert ran.result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
        ran.result.assert_outcomes(skipped=3)
        assert "every scenario was skipped: nothing was tested" in ran.text
        for reason in (
            "cpu here has no accelerator",
            "needs at least 100 threads: --mps-threads=100",
            "runs with 1 or fewer threads",
        ):
            assert reason in ran.text


class TestATimeBudget:
    SLOW = """
class Slow(Scenario):
    iterations = 1
    params = {"n": list(range(3))}
    def step(self, state, x):
        time.sleep(0.2)
        return torch.ones(1) * stress.current().thread_index
"""

    def test_that_is_spent_skips_and_says_so(self, tmp_path: Path) -> None:
        ran = run_in(tmp_path, self.SLOW, "--mps-seconds=1e-6", "-rs")
        assert ran.result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
        assert "time budget spent (--mps-seconds=1e-06): not run" in ran.text
        assert "every scenario was skipped" in ran.text

    def test_begins_with_the_first_item(self, tmp_path: Path) -> None:
        """Before that a device may be built, once: what that takes must not leave items out."""
        (tmp_path / "conftest.py").write_text(
            "import time\n\ndef pytest_collection_finish():\n"
            "    until = time.monotonic() + 2\n    while time.monotonic() < until:\n        pass\n"
        )
        ran = run_in(tmp_path, self.SLOW, "--mps-seconds=2", "--mps-attempts=1", "-k", "0-")
        assert ran.result.ret == pytest.ExitCode.OK

    def test_shrinks_the_attempts_and_interrupts_nothing(self, tmp_path: Path) -> None:
        """However slow the machine is: what ran was cut short, what did not run was skipped."""
        ran = run_in(tmp_path, self.SLOW, "--mps-seconds=6", "--mps-attempts=100", "-rs", "-v")
        assert ran.result.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        assert "attempts 100, at most 6 s" in ran.text
        assert len(ran.items) + ran.text.count("SKIPPED (time budget spent") == 3
        for item in ran.items.values():
            assert item["verdict"] == "pass"
            assert 1 <= item["attempts"] < 100
        assert ran.text.count("time budget") >= 3


class TestNoIsolation:
    INLINE = """
class Fine(Scenario):
    iterations = 2
    def step(self, state, x):
        assert "pytest" in sys.modules
        return torch.ones(2) * stress.current().thread_index

class Wrong(Scenario):
    iterations = 2
    def step(self, state, x):
        return torch.full((2,), float(sum(t.name.startswith("crew") for t in threading.enumerate()) > 1) + 10 * stress.current().thread_index)

class Hangs(Scenario):
    iterations = 1
    def step(self, state, x):
        while sum(t.name.startswith("crew") for t in threading.enumerate()) > 1:
            time.sleep(0.05)
        return torch.ones(1) * stress.current().thread_index

class Program(ProcessScenario):
    def body(self, device):
        pass

class Tuned(Fine):
    env = {"MPS_STRESS_KNOB": "1"}
"""

    def test_runs_in_pytest_itself_and_says_so(self, tmp_path: Path) -> None:
        ran = run_in(
            tmp_path, self.INLINE, "--mps-no-isolation", "--mps-attempts=1", "--mps-deadline=2", "-v", "-rs"
        )
        assert "mps: no isolation: a crash ends pytest" in ran.text
        assert {name: one["verdict"] for name, one in ran.items.items()} == {
            "Fine[t4]": "pass",
            "Wrong[t4]": "mismatch",
            "Hangs[t4]": "hang",
        }
        assert "a process scenario needs isolation: leave out --mps-no-isolation" in ran.text
        assert "an environment needs its own process: leave out --mps-no-isolation" in ran.text
        pids = {one["pid"] for one in ran.records if one["kind"] == "attempt_end"}
        assert len(pids) == 1
