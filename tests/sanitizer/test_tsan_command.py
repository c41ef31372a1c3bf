"""`mps-stress tsan` as a user runs it, on the small harness: texts, exit statuses, records."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stress.record import RunReader
from stress.sanitizer.native.build import Program
from tests.sanitizer.conftest import SMALL

Done = subprocess.CompletedProcess[str]


@pytest.fixture(autouse=True)
def built(small_program: Program) -> Program:
    return small_program


def tsan(folder: Path, *args: str, **env: str) -> Done:
    command = [
        sys.executable,
        "-m",
        "stress.commands.cli",
        "tsan",
        f"--recipe={SMALL}",
        f"--results={folder}",
        *args,
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=800, check=False, env={**os.environ, **env}
    )
    print(done.stdout, done.stderr, sep="\n")
    return done


def records(folder: Path) -> list[dict[str, Any]]:
    (run,) = folder.iterdir()
    reader = RunReader(run)
    found = [dict(one) for one in reader]
    assert reader.problems == []
    assert reader.unfinished == []
    return found


class TestACase:
    def test_that_is_silent(self, tmp_path: Path) -> None:
        done = tsan(tmp_path, "--case=counter", "--threads=3,5", "--iterations=10", "--runs=2")
        assert done.returncode == 0
        for threads in (3, 5):
            assert (
                f"counter {threads} x 10: 0 races in 2 runs; canary found; 3 of 3 translation units instrumented; "
                "libtorch not linked; 0 suppressions matched" in done.stdout
            )
        written = records(tmp_path)
        (run,) = [one for one in written if one["kind"] == "run"]
        assert run["harness"]["options"]["history_size"] == "64"
        assert run["simulated"] is (sys.platform == "linux")
        items = {one["item"]: one for one in written if one["kind"] == "item"}
        assert items["programs/small.toml::counter[t5]"]["verdict"] == "pass"
        assert items["programs/small.toml::canary[t5]"]["verdict"] == "pass"
        assert sum(one["kind"] == "attempt_end" for one in written) == 2 * (3 + 2)

    def test_that_races_is_told_with_the_way_to_repeat_and_to_read_it(self, tmp_path: Path) -> None:
        done = tsan(tmp_path, "--fault=counter_unlocked", "--runs=2", "--seed=7")
        assert done.returncode == 1
        assert "counter with counter_unlocked 8 x 50: RACE in 2 of 2 runs" in done.stdout
        assert "Counter::add" in done.stdout
        assert (
            "--case=counter --threads=8 --iterations=50 --runs=2 --fault=counter_unlocked --seed=0x7"
            in done.stdout
        )
        (line,) = [one for one in done.stdout.splitlines() if "mps-stress explain" in one]
        assert "WARNING: ThreadSanitizer: data race" in Path(line.split()[-1]).read_text()

    def test_that_proves_nothing(self, tmp_path: Path) -> None:
        done = tsan(tmp_path, "--case=counter", "--runs=1", TSAN_OPTIONS="report_bugs=0")
        assert done.returncode == 3
        assert "counter 8 x 50: inconclusive: canary not found" in done.stdout
        assert "canary NOT found" in done.stdout

    def test_that_this_backend_lacks_is_skipped_and_is_no_pass(self, tmp_path: Path) -> None:
        done = tsan(tmp_path / "both", "--case=counter,lacking", "--runs=2")
        assert done.returncode == 0
        assert "lacking 8 x 50: skipped: not available here: getStreamFromPool" in done.stdout
        assert "why: " not in done.stdout
        alone = tsan(tmp_path / "alone", "--case=lacking", "--runs=2")
        assert alone.returncode == 3
        (item,) = [
            one
            for one in records(tmp_path / "alone")
            if one["kind"] == "item" and one["item"].endswith("lacking[t8]")
        ]
        assert (item["verdict"], item["attempts"], item["counted"]) == ("inconclusive", 1, 0)
        assert item["headline"] == "not available here: getStreamFromPool"

    def test_as_json(self, tmp_path: Path) -> None:
        done = tsan(tmp_path, "--case=counter", "--runs=1", "--json")
        data = json.loads(done.stdout)
        assert data["exit_status"] == done.returncode == 0
        assert data["harness"]["instrumented"] == data["harness"]["units"] == 3
        assert [(one["case"], one["verdict"], one["races"]) for one in data["cases"]] == [
            ("counter", "pass", 0)
        ]


class TestFaults:
    def test_every_fault_is_found_by_the_detector_that_it_declares(self, tmp_path: Path) -> None:
        done = tsan(tmp_path, "--faults", "--runs=2", "--iterations=10", "--deadline=3", "--json")
        data = json.loads(done.stdout)
        (table,) = data["tables"]
        assert {one["fault"]: (one["kills"], one["found"]) for one in table["faults"]} == {
            "counter_unlocked": (2, {"tsan": 2, "metal": 0, "invariant": 0}),
            "encoder_taken_twice": (2, {"tsan": 0, "metal": 2, "invariant": 0}),
            "count_lost": (2, {"tsan": 0, "metal": 0, "invariant": 2}),
        }
        assert [one["twin_silent"] for one in table["faults"]] == [2, 2, 2]
        assert {one["case"]: one["silent"] for one in table["clean"]}["counter"] == 2
        assert table["unavailable"] == {"lacking": "getStreamFromPool"}
        assert done.returncode == 1, "the cases that hang or do nothing are not silent"

    def test_the_table(self, tmp_path: Path) -> None:
        done = tsan(tmp_path, "--faults", "--runs=1", "--iterations=10", "--deadline=3")
        assert "tsan: 1 of 1 faults found in every run (1 of 1 runs)" in done.stdout
        assert "metal: 1 of 1 faults found in every run (1 of 1 runs)" in done.stdout
        assert "not silent: stuck 8 x 10: no end after 3." in done.stdout


class TestBadInput:
    @pytest.mark.parametrize(
        ("args", "text"),
        [
            (["--case=nowhere"], "there is no case 'nowhere'; known are counter, nothing, idle"),
            (["--case=canary"], "canary is a control, which runs automatically before every case"),
            (["--case=elsewhere"], "case elsewhere is for metal only, this is simulated"),
            (
                ["--fault=nothing"],
                "there is no fault 'nothing'; known are counter_unlocked, encoder_taken_twice",
            ),
            (["--case=idle", "--fault=count_lost"], "fault count_lost is one of case counter, not of idle"),
            (["--threads=0"], "--threads=0: expected a whole number of at least 1"),
            (["--threads=1"], "--threads=1: counter needs at least 2"),
            (["--deadline=-1"], "--deadline=-1: expected a positive number"),
            (["--faults", "--case=counter"], "--faults runs all of them: leave out --fault and --case"),
            (["--recipe=none.toml"], "--recipe=none.toml: no such file"),
            ([f"--recipe={__file__}"], "expected a *.toml file"),
        ],
    )
    def test_is_one_sentence(self, tmp_path: Path, args: list[str], text: str) -> None:
        done = tsan(tmp_path, *args)
        assert done.returncode == 2
        assert text in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(tmp_path.iterdir())

    def test_an_option_of_the_runtime_that_is_ours(self, tmp_path: Path) -> None:
        done = tsan(tmp_path, TSAN_OPTIONS="log_path=/tmp/x")
        assert (done.returncode, "log_path is set by mps-stress" in done.stderr) == (2, True)

    def test_no_compiler(self, tmp_path: Path) -> None:
        done = tsan(tmp_path, PATH="/nonexistent")
        assert done.returncode == 2
        assert "ThreadSanitizer needs clang 18 or newer" in done.stderr

    def test_a_recipe_that_is_none(self, tmp_path: Path) -> None:
        path = tmp_path / "broken.toml"
        path.write_text("name = 1")
        done = tsan(tmp_path / "runs", f"--recipe={path}")
        assert (done.returncode, "name must be a text" in done.stderr) == (2, True)


def test_list(tmp_path: Path) -> None:
    done = tsan(tmp_path, "--list")
    assert done.returncode == 0
    assert "  elsewhere (metal only): of the small harness" in done.stdout
    assert "  counter_unlocked (tsan, in counter)" in done.stdout
    assert not list(tmp_path.iterdir())


def test_what_a_folder_has_for_its_tests_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conftest.py").write_text("raise SystemError('a conftest.py was imported')\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    monkeypatch.chdir(tmp_path)
    done = tsan(tmp_path / "runs", "--list")
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert "  counter: of the small harness" in done.stdout
