"""`mps-stress upstream` on a small tree: what it says is new, against which baseline, and what it makes of the files' needs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests import warm

FILE = """
import ctypes
import subprocess
import threading
import unittest

total_memory = int(subprocess.check_output(["sysctl", "-n", "hw.memsize"]))
MET = threading.Barrier(4)
WRONG = {wrong}

def from_threads():
    return sum(one.name.startswith("mps-stress-") for one in threading.enumerate()) > 1

class TestMPS(unittest.TestCase):
    def test_memory(self):
        from torch.testing._internal.common_utils import MACOS_VERSION
        assert total_memory > 2**20 and MACOS_VERSION > 15

    def test_fails_alone(self):
        assert 1 == 2

    @unittest.expectedFailure
    def test_expected(self):
        assert False

    @unittest.skip("no such GPU")
    def test_skipped(self):
        pass

    @unittest.skipIf(WRONG, "not any more")
    def test_runs_before(self):
        pass

    def test_wrong(self):
        assert not WRONG

    def test_kills(self):
        if WRONG:
            ctypes.string_at(0)

    def test_meets(self):
        shared = Shared
        if from_threads() and WRONG:
            shared.value = threading.get_ident()
            MET.wait()
            assert shared.value == threading.get_ident()

    def test_passes(self):
        pass
{more}

class Shared:
    value = 0
"""


def tree_of(folder: Path, *, wrong: bool, more: str = "") -> Path:
    """Write a tree as PyTorch's is, as far as the command looks at it."""
    (folder / "test").mkdir(parents=True, exist_ok=True)
    (folder / "version.txt").write_text("9.8.7a0\n")
    (folder / "test" / "test_mps.py").write_text(FILE.format(wrong=wrong, more=more))
    (folder / "test" / "conftest.py").write_text("raise RuntimeError('written for one pinned pytest')\n")
    return folder


def cli(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        warm.command("stress.commands.cli", *arguments),
        cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=800,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    return done


def upstream(folder: Path, tree: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    arguments = ("upstream", f"--torch-source={tree}", "--device=sim", "--threads=4", "--seed=1")
    return cli(folder, *arguments, *more, **environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("upstream")


@pytest.fixture(scope="module")
def first(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a tree where one test fails alone, and make that the baseline."""
    return upstream(
        folder, tree_of(folder / "tree", wrong=False), "--write-baseline", PYTORCH_TEST_WITH_SLOW="1"
    )


@pytest.fixture(scope="module")
def again(folder: Path, first: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    return upstream(folder, folder / "tree")


@pytest.fixture(scope="module")
def changed(folder: Path, again: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """Run the tree with all its mistakes, against the baseline of the one without."""
    tree_of(folder / "tree", wrong=True, more="\n    def test_added(self):\n        pass\n")
    return upstream(folder, folder / "tree")


class TestWithoutBaseline:
    def test_all_that_fails_is_new(self, first: subprocess.CompletedProcess[str]) -> None:
        assert first.returncode == 1
        assert "one thread: 6 passed, 1 failed as expected, 1 failed, 1 skipped" in first.stdout
        assert "7 of 8 (87.5 %) of those that ran pass" in first.stdout
        assert "4 threads: 6 passed" in first.stdout
        assert "no baseline for this tree and device" in first.stdout
        assert "FAILS ALONE        test_mps.py::TestMPS::test_fails_alone" in first.stdout
        assert "new: 1 FAILS ALONE" in first.stdout

    def test_switches_of_the_tests_are_named(self, first: subprocess.CompletedProcess[str]) -> None:
        assert "PYTORCH_TEST_WITH_SLOW=1 is set, and changes which tests run" in first.stderr

    def test_the_baseline_is_beside_the_runs(
        self, folder: Path, first: subprocess.CompletedProcess[str]
    ) -> None:
        path = folder / "results" / "upstream" / "pytorch-9.8.7a0-sim.json"
        assert f"baseline: {path}" in first.stdout
        tests = json.loads(path.read_text())["tests"]
        assert len(tests) == 9
        assert tests["test_mps.py::TestMPS::test_fails_alone"]["alone"] == "failed"


class TestWithBaseline:
    def test_what_is_known_is_not_new(self, folder: Path, again: subprocess.CompletedProcess[str]) -> None:
        assert again.returncode == 0
        assert "known: 1 fails alone: no reason is known" in again.stdout
        assert "new: nothing" in again.stdout

    @pytest.mark.parametrize(
        "line",
        [
            "FAILS ALONE        test_mps.py::TestMPS::test_wrong",
            "CRASHES ALONE      test_mps.py::TestMPS::test_kills",
            "RACE FROM THREADS  test_mps.py::TestMPS::test_meets",
            "NOT RUN            test_mps.py::TestMPS::test_runs_before",
        ],
    )
    def test_each_kind_of_news_has_its_line(
        self, changed: subprocess.CompletedProcess[str], line: str
    ) -> None:
        assert changed.returncode == 1
        assert line in changed.stdout

    def test_what_it_says_stands_below_it(self, changed: subprocess.CompletedProcess[str]) -> None:
        assert "assert not True" in changed.stdout
        assert "skipped: not any more" in changed.stdout
        assert "0 of 1 before: exception: sometimes fails: failed in" in changed.stdout
        assert "one thread alone crashes" in changed.stdout

    def test_a_test_that_passes_is_no_news(self, changed: subprocess.CompletedProcess[str]) -> None:
        assert "test_added" not in changed.stdout
        assert "test_memory" not in changed.stdout

    def test_a_recorded_attempt_is_replayed(
        self, folder: Path, changed: subprocess.CompletedProcess[str]
    ) -> None:
        run = max((folder / "results" / "runs").iterdir(), key=lambda one: one.stat().st_mtime)
        records = [json.loads(line) for file in run.glob("*.jsonl") for line in file.read_text().splitlines()]
        serial = next(
            one["serial"] for one in records
            if one["kind"] == "attempt_end" and one["role"] == "crew" and one["item"].endswith("::test_meets")
        )  # fmt: skip
        done = cli(folder, "replay", f"{run.name}/{serial}", "--attempts=3")
        assert done.returncode == 0
        assert f"{run.name}/{serial}: test_mps.py::TestMPS::test_meets, crew attempt 0" in done.stdout
        assert "fails 3 of 3" in done.stdout
        assert "3  RACE" in done.stdout
        assert "as recorded" in done.stdout

    def test_evidence_takes_the_result_in(
        self, folder: Path, changed: subprocess.CompletedProcess[str]
    ) -> None:
        done = cli(folder, "evidence", "results/runs")
        assert done.returncode == 0
        assert "Upstream's own tests, alone and from threads" in done.stdout
        assert "RACE FROM THREADS test_mps.py::TestMPS::test_meets" in " ".join(done.stdout.split())


class TestBadInput:
    def test_a_tree_without_tests(self, tmp_path: Path) -> None:
        done = cli(tmp_path, "upstream", f"--torch-source={tmp_path}")
        assert done.returncode == 2
        assert "--torch-source=DIR is a checkout of PyTorch" in done.stderr

    def test_a_file_that_is_no_baseline(self, tmp_path: Path) -> None:
        (tmp_path / "bad.json").write_text("[]")
        tree = tree_of(tmp_path / "tree", wrong=False)
        done = upstream(tmp_path, tree, f"--baseline={tmp_path / 'bad.json'}")
        assert done.returncode == 2
        assert "bad.json is no baseline of mps-stress upstream" in done.stderr

    def test_a_module_that_the_tests_need(self, tmp_path: Path) -> None:
        tree = tree_of(tmp_path / "tree", wrong=False)
        (tree / "test" / "test_mps.py").write_text("raise ImportError(\"No module named 'expecttest'\")\n")
        done = upstream(tmp_path, tree)
        assert done.returncode == 2
        assert (
            "PyTorch's tests need expecttest, which torch does not install: pip install expecttest"
            in done.stderr
        )
