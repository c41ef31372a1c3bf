"""Runs without arguments: what the user had collected before is collected still, and what is not is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.test_collection import HEAD
from tests.core.test_collection import STEP
from tests.core.test_collection import run
from tests.core.test_collection import write

FAILS = "def test_fails():\n    assert False\n"
SCENARIO = HEAD + "class Mine(Scenario):\n" + STEP
PLAIN = ("-p", "no:cacheprovider", "-p", "no:run-parallel", "--collect-only", "-q")


def collected(folder: Path, *args: str, threads: bool) -> list[str]:
    """Return the ids of a run, with `--mps-threads` on its command line or without."""
    given = ["--mps-threads=2"] if threads else []
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PLAIN, *given, *args],
        cwd=folder, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    return done.stdout.partition("\n\n")[0].splitlines()


@pytest.mark.parametrize(
    ("ini", "threads"),
    [
        ("testpaths = tests\nmps_threads = 2", False),
        ("testpaths = tests\naddopts = --mps-threads=2", False),
        ("testpaths = tests", True),
        ("mps_threads = 2", False),
        ("addopts = --mps-threads=2", False),
    ],
)
def test_the_users_own_tests_stay(tmp_path: Path, ini: str, threads: bool) -> None:
    write(tmp_path, {"pytest.ini": f"[pytest]\n{ini}\n", "tests/test_fails.py": FAILS})
    assert collected(tmp_path, threads=threads) == ["tests/test_fails.py::test_fails"]
    write(tmp_path, {"scenarios/mine.py": SCENARIO})
    both = ["scenarios/mine.py::Mine[t2]", "tests/test_fails.py::test_fails"]
    assert sorted(collected(tmp_path, threads=threads)) == both, "local scenarios are the user's too"


def test_a_failing_test_of_testpaths_is_not_replaced_by_a_green_run(tmp_path: Path) -> None:
    ini = "[pytest]\ntestpaths = tests\nmps_threads = 2\n"
    write(tmp_path, {"pytest.ini": ini, "tests/test_fails.py": FAILS})
    done = run(tmp_path, "-o", "mps_threads=2", "--mps-threads=2")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "1 failed" in done.stdout
    assert (
        "mps: the scenarios that come with mps-stress are not collected, because testpaths names tests: pytest "
        "--mps-threads=8 -o testpaths= runs them"
    ) in done.stdout


def test_scenarios_alone_are_said_to_be_alone(tmp_path: Path) -> None:
    write(tmp_path, {"tests/test_fails.py": FAILS, "scenarios/mine.py": SCENARIO})
    done = run(tmp_path, "--mps-attempts=1")
    assert "1 passed" in done.stdout
    assert (
        "mps: the scenarios in scenarios are collected; tests/ is not: pytest --mps-threads=8 . collects all"
    ) in done.stdout
    (tmp_path / "tests").rename(tmp_path / "no-tests")
    assert "are collected" not in run(tmp_path, "--mps-attempts=1").stdout


class TestAFolderThatIsNotCalledScenarios:
    def test_is_named_with_the_way_out(self, tmp_path: Path) -> None:
        base = HEAD + "class Base(Scenario):\n    iterations = 1\n"
        write(tmp_path, {"mps/mine.py": SCENARIO, "mps/base.py": base, "mps/helper.py": "VALUE = 1\n"})
        done = run(tmp_path, "mps/")
        assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
        assert (
            "mps: 1 file with scenarios was not collected (mps/mine.py): name it, as in pytest --mps-threads=8 "
            "mps/mine.py, or put it into a folder called scenarios"
        ) in done.stdout

    def test_is_named_where_other_files_are_collected(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {"mps/mine.py": SCENARIO, "mps/two.py": SCENARIO, "test_it.py": "def test_one(): pass\n"},
        )
        done = run(tmp_path, ".")
        assert "1 passed" in done.stdout
        assert (
            "mps: 2 files with scenarios were not collected (mps/mine.py, mps/two.py): name them"
            in done.stdout
        )

    def test_is_not_named_where_it_is_collected(self, tmp_path: Path) -> None:
        write(tmp_path, {"mps/mine.py": SCENARIO})
        assert "not collected" not in run(tmp_path, "mps/mine.py", "--mps-attempts=1").stdout
