"""`pytest tsan --mps-threads=N`: recipes as collected files, cases as items."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stress.plugin.native_items import folded
from stress.sanitizer.native.build import Program
from tests.acceptance import Ran
from tests.acceptance import read
from tests.sanitizer.conftest import SMALL

CASES = ("counter", "elsewhere", "idle", "lacking", "mute", "nothing", "stuck")


@pytest.fixture
def folder(tmp_path: Path, small_program: Program) -> Path:
    """A project with a tsan folder, whose program is the one that is built already."""
    (tmp_path / "tsan").mkdir()
    text = SMALL.read_text().replace('root = "small"', f'root = "{SMALL.parent / "small"}"')
    (tmp_path / "tsan" / "small.toml").write_text(text)
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    return tmp_path


def run(folder: Path, *args: str, **env: str) -> Ran:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *args]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        env={**os.environ, **env},
    )
    print(done.stdout, done.stderr, sep="\n")
    result = pytest.RunResult(done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), 0.0)
    return read(result, folder / "results" / "runs")


ARGS = ("--mps-threads=3,4", "--mps-iterations=10", "--mps-attempts=2")


class TestFolded:
    def test_cases_of_which_the_same_is_said_share_a_sentence(self) -> None:
        seen = "0 races in 5 runs; canary found; simulated"
        assert folded([f"pool 8 x 50: {seen}", f"errors 8 x 50: {seen}", f"pool 31 x 50: {seen}"]) == [
            f"2 cases 8 x 50, each: {seen}: errors, pool",
            f"pool 31 x 50: {seen}",
        ]

    def test_what_differs_keeps_its_own(self) -> None:
        told = [
            "errors 8 x 50: 0 races in 5 runs",
            "pool 8 x 50: RACE in 1 of 5 runs, 1 race in 5 runs: a: b",
        ]
        assert folded(told) == told


class TestRun:
    def test_the_closing_table_has_a_sentence_for_each_case(self, folder: Path) -> None:
        ran = run(folder, "tsan", "-k", "counter", *ARGS)
        assert ran.result.ret == 0
        for threads in (3, 4):
            assert (
                f"counter {threads} x 10: 0 races in 2 runs; canary found; 3 of 3 translation units instrumented; "
                "libtorch not linked; 0 suppressions matched" in ran.text
            )
        assert "canaries found: 4 of 4" in ran.text
        assert ("on simulated Metal, 3 of 3 translation units" in ran.text) == (sys.platform == "linux")
        assert ran.items["counter[t4]"]["sentence"] in ran.text
        assert "not instrumented, so races inside them are not seen: " in ran.text
        assert ran.items["canary[t4]"]["verdict"] == "pass"
        (header,) = [one for one in ran.records if one["kind"] == "run"]
        assert header["device"] == "none", "no torch device is opened for it"
        assert header["harness"]["units"] == 3
        assert all(one.get("simulated", False) == (sys.platform == "linux") for one in ran.records)

    def test_what_cannot_pass_has_its_own_words(self, folder: Path) -> None:
        ran = run(folder, "tsan", "--mps-deadline=3", *ARGS, "-k", "t3", "-rA")
        assert ran.result.ret == 1
        assert {
            name: ran.items[f"{name}[t3]"]["verdict"] for name in CASES if f"{name}[t3]" in ran.items
        } == {
            "counter": "pass",
            "idle": "inconclusive",
            "lacking": "inconclusive",
            "mute": "inconclusive",
            "nothing": "inconclusive",
            "stuck": "hang",
        }
        assert "SKIPPED" in ran.text
        assert "this case runs on metal only, and this is simulated" in ran.text
        assert "not available here: getStreamFromPool" in ran.text
        assert "lacking 3 x 10" not in ran.text, "what is skipped has no sentence among the verdicts"
        assert "tsan/small.toml::stuck[t3] - HANG: " in ran.text
        assert "race: tsan/data-race Counter::add <> Counter::add" in ran.text

    def test_options_that_hide_races_make_all_of_it_inconclusive(self, folder: Path) -> None:
        ran = run(folder, "tsan", "-k", "counter", *ARGS, TSAN_OPTIONS="report_bugs=0")
        assert ran.result.ret == 1
        assert "canary not found: the planted race was not reported" in ran.text
        assert "canaries found: 0 of 4" in ran.text

    def test_distributed(self, folder: Path) -> None:
        ran = run(folder, "tsan", "-k", "counter", "-n2", *ARGS)
        assert ran.result.ret == 0
        assert ran.text.count("0 races in 2 runs") == 2

    def test_one_item_by_its_name(self, folder: Path) -> None:
        ran = run(folder, "tsan/small.toml::counter[t4]", *ARGS)
        assert [name for name in ran.items if "counter" in name] == ["counter[t4]"]


class TestNotRun:
    def test_without_threads_nothing_is_collected(self, folder: Path) -> None:
        ran = run(folder, "tsan")
        assert ran.result.ret == pytest.ExitCode.NO_TESTS_COLLECTED

    def test_without_arguments_the_scenarios_run_and_no_native_program(self, folder: Path) -> None:
        (folder / "scenarios").mkdir()
        ran = run(folder, "--mps-threads=2", "--mps-device=cpu", "--collect-only", "-q")
        assert "counter" not in ran.text

    def test_without_a_compiler_it_is_skipped_and_that_is_not_green(self, folder: Path) -> None:
        ran = run(folder, "tsan", "--mps-threads=2", "-rs", PATH="/nonexistent")
        assert ran.result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
        assert "ThreadSanitizer needs clang 18 or newer" in ran.text
        assert "nothing was tested" in ran.text

    def test_a_recipe_that_cannot_be_meant(self, folder: Path) -> None:
        (folder / "tsan" / "small.toml").write_text('name = "x"\n')
        ran = run(folder, "tsan", "--mps-threads=2")
        assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
        assert "no instrumented source" in "\n".join(ran.result.errlines)

    def test_a_fault_of_the_simulated_device_would_be_believed_to_be_on(self, folder: Path) -> None:
        ran = run(folder, "tsan", "--mps-threads=2", "--mps-sim-faults=commit_twice")
        assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
        assert "mps-stress tsan --fault=NAME" in "\n".join(ran.result.errlines)

    def test_code_that_does_not_compile(self, folder: Path) -> None:
        shutil.copytree(SMALL.parent / "small", folder / "small")
        (folder / "small" / "counter.cpp").write_text("#error that is the reason\n")
        (folder / "tsan" / "small.toml").write_text(SMALL.read_text().replace('"small"', '"../small"'))
        ran = run(folder, "tsan", "--mps-threads=2")
        assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
        assert "that is the reason" in "\n".join(ran.result.errlines)


SCENARIO = """
import torch

from stress import Scenario


class Product(Scenario):
    iterations = 3

    def setup(self, device):
        return torch.randn(8, 8).to(device)

    def make_input(self, generator):
        return torch.randn(8, 8, generator=generator)

    def step(self, state, x):
        return x @ state
"""


class TestBesideScenarios:
    """What `make stress` runs: both in one run, and one of them does not take the other's result away."""

    ARGS = ("tsan", "product.py", "--mps-threads=2", "--mps-attempts=1", "--mps-device=cpu")

    @staticmethod
    def project(folder: Path) -> Path:
        (folder / "tsan").mkdir()
        text = SMALL.read_text().replace('root = "small"', f'root = "{SMALL.parent / "small"}"')
        (folder / "tsan" / "small.toml").write_text(text)
        (folder / "product.py").write_text(SCENARIO)
        (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\npython_files = 'product.py'\n")
        return folder

    def test_without_a_clang_the_closing_lines_say_what_was_not_looked_for(self, tmp_path: Path) -> None:
        ran = run(self.project(tmp_path), *self.ARGS, PATH="/nonexistent")
        assert ran.result.ret == 0
        assert ran.items["Product[t2]"]["verdict"] == "pass"
        assert (
            "not looked for: races in the device's native code, because the native suite did not run: "
            "ThreadSanitizer needs clang" in ran.text
        )

    def test_a_suite_that_cannot_be_built_fails_alone(self, tmp_path: Path) -> None:
        folder = self.project(tmp_path)
        (folder / "tsan" / "small.toml").write_text("name = 3\n")
        ran = run(folder, *self.ARGS)
        assert ran.result.ret == 1
        assert ran.items["Product[t2]"]["verdict"] == "pass"
        assert "small.toml: name must be a text" in ran.text
        assert "1 failed, 1 passed" in ran.text
