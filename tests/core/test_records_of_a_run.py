"""What a run leaves in its folder, and what it says when it cannot."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress.record import RunReader
from stress.record.schema_check import check
from tests.acceptance import Ran
from tests.acceptance import run_in
from tests.core.processes import write_scenarios

SOURCE = """
def in_company():
    return sum(one.name.startswith("crew") for one in threading.enumerate()) > 1

class Fine(Scenario):
    iterations = 3
    params = {"size": [2]}
    def step(self, state, x):
        return torch.ones(self.size) * stress.current().thread_index

class Dies(Scenario):
    iterations = 3
    def step(self, state, x):
        if in_company():
            os.write(2, b"last words\\n")
            os.abort()
        return torch.ones(2) * stress.current().thread_index
"""
# The crew of the first item, and all of the second, fill the disk that the records are on.
FILLS = """
def in_company():
    return sum(one.name.startswith("crew") for one in threading.enumerate()) > 1

def fill():
    with open("results/runs/filler", "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

class AFills(Scenario):
    iterations = 1
    def step(self, state, x):
        if in_company() and stress.current().thread_index == 0:
            fill()
        return torch.ones(2) * stress.current().thread_index

class BFinds(Scenario):
    iterations = 1
    def step(self, state, x):
        fill()
        return torch.ones(2) * stress.current().thread_index
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("records")
    return run_in(folder, SOURCE, "--mps-attempts=2", "--mps-seed=0x2a", "--mps-iterations=2")


class TestTheRecord:
    def test_begins_with_the_run_and_ends_with_its_end(self, ran: Ran) -> None:
        first, *_, last = ran.records
        assert (first["kind"], last["kind"]) == ("run", "run_end")
        assert first["seed"] == 0x2A
        assert first["device"] == "cpu"
        assert first["simulated"] is False
        assert first["torch"]["version"]
        assert first["settings"]["iterations"] == 2
        assert "--mps-seed=0x2a" in first["argv"]
        assert last["exit_status"] == 1
        assert last["verdicts"] == {"pass": 1, "crash": 1}

    def test_holds_to_its_schema_line_by_line(self, ran: Ran) -> None:
        assert ran.folder is not None
        reader = RunReader(ran.folder)
        listed = list(reader)
        assert [check(one) for one in listed] == [None] * len(listed)
        assert not reader.problems
        assert not reader.unfinished
        assert {one["v"] for one in listed} == {1}

    def test_has_a_start_before_each_end(self, ran: Ran) -> None:
        events = [
            (one["kind"], one["item"].rpartition("::")[2], one["role"], one["attempt"])
            for one in ran.records
            if one["kind"].startswith("attempt")
        ]
        roles = {
            "Fine[2-t4]": [("reference", 0), ("crew", 0), ("crew", 1)],
            "Dies[t4]": [("reference", 0), ("crew", 0), ("crew", 1), ("control", 0), ("control", 1)],
        }
        assert events == [
            (kind, item, role, number)
            for item, listed in roles.items()
            for role, number in listed
            for kind in ("attempt_start", "attempt_end")
        ]

    def test_tells_how_to_repeat_an_item(self, ran: Ran) -> None:
        commands = {one["command"] for one in ran.records if one["kind"] == "attempt_start"}
        assert len(commands) == 2
        for command in commands:
            words = shlex.split(command)
            assert words[0] == "pytest"
            assert {"--mps-threads=4", "--mps-seed=0x2a", "--mps-iterations=2", "--mps-device=cpu"} <= set(
                words
            )

    def test_a_repeated_item_has_the_same_seed(self, ran: Ran) -> None:
        assert ran.folder is not None
        start = next(one for one in ran.records if one["kind"] == "attempt_start")
        command = [sys.executable, "-m", *shlex.split(start["command"]), "-p", "no:cacheprovider"]
        root = ran.folder.parents[2]
        again = [*command, "--mps-results=again", "--mps-attempts=1"]
        done = subprocess.run(again, cwd=root, capture_output=True, text=True, timeout=800, check=False)
        assert done.returncode == 0, done.stdout
        (folder,) = (root / "again").iterdir()
        repeated = next(one for one in RunReader(folder) if one["kind"] == "attempt_start")
        assert (repeated["item"], repeated["seed"]) == (start["item"], start["seed"])

    def test_measures_every_attempt(self, ran: Ran) -> None:
        for end in ran.ends("Fine[2-t4]"):
            assert end["seconds"] > 0
            assert end["cpu_s"] > 0
            assert end["memory_bytes_max"] > 1_000_000
            assert end["os_threads_max"] >= 5
            assert end["iterations_done"] == 8
            assert end["exit_status"] == 0
            assert end["signal"] is None

    def test_names_side_files_that_exist_and_hold_the_evidence(self, ran: Ran) -> None:
        assert ran.folder is not None
        for end in ran.ends("Dies[t4]"):
            assert "last words\n" in (ran.folder / end["stderr"]).read_text()
            assert " in step" in (ran.folder / end["stacks"]).read_text()
        for end in ran.ends("Fine[2-t4]"):
            assert not end["stderr"]
            assert not end["stacks"]

    def test_leaves_nothing_else_in_the_folder(self, ran: Ran) -> None:
        assert ran.folder is not None
        named = {end[key] for end in ran.records for key in ("stderr", "stacks") if end.get(key)}
        (jsonl,) = ran.folder.glob("*.jsonl")
        assert {one.name for one in ran.folder.iterdir()} == named | {jsonl.name}


class TestAFolderThatCannotBeWritten:
    def test_is_an_error_before_the_first_attempt(self, tmp_path: Path) -> None:
        (tmp_path / "occupied").write_text("a file\n")
        ran = run_in(tmp_path, SOURCE, "--mps-results=occupied")
        assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
        text = "\n".join(ran.result.errlines) + ran.text
        assert f"records in {tmp_path / 'occupied'}" in text
        assert "--mps-results=DIR" in text
        assert "Traceback" not in text
        assert "INTERNALERROR" not in text
        assert "Dies[t4]" not in text

    @pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may write everywhere")
    def test_may_be_one_without_permission(self, tmp_path: Path) -> None:
        (tmp_path / "locked").mkdir(mode=0o500)
        ran = run_in(tmp_path, SOURCE, "--mps-results=locked")
        assert ran.result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder whose `results` lie on a disk of half a megabyte."""
    results = tmp_path / "results" / "runs"
    results.mkdir(parents=True)
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", results],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield tmp_path
    subprocess.run(["umount", "-l", results], check=True)


class TestAFullDisk:
    def test_before_the_run_is_an_error(self, small_disk: Path) -> None:
        write_scenarios(small_disk, FILLS)
        with pytest.raises(OSError, match="No space left"):
            (small_disk / "results" / "runs" / "filler").write_bytes(bytes(600_000))
        ran = run_in(small_disk, FILLS)
        assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
        assert "No space left on device" in "\n".join(ran.result.errlines) + ran.text

    def test_in_the_middle_loses_records_but_no_verdict(self, small_disk: Path) -> None:
        ran = run_in(small_disk, FILLS, "--mps-attempts=2", "-v")
        assert ran.result.ret == pytest.ExitCode.TESTS_FAILED
        assert "Traceback" not in ran.text
        assert "INTERNALERROR" not in ran.text
        # Said by the child, which writes most, or by the writer of the records.
        assert re.search("the disk is full|No space left on device", ran.text)
        for name in ("AFills", "BFinds"):
            assert re.search(rf"::{name}\[t4\] INCONCLUSIVE +\[", ran.text), name
            assert re.search(rf"^ *(?:\S*::)?{name}\[t4\] +INCONCLUSIVE", ran.text, re.MULTILINE), name
        assert ran.folder is not None
        reader = RunReader(ran.folder)
        kinds = [one["kind"] for one in reader]
        assert kinds[:3] == ["run", "attempt_start", "attempt_end"]
        assert not reader.problems


OWN = """
[[signature]]
id = "mine/last-words"
pattern = 'last words'
meaning = "The subject of this test died as it was told to."
links = []
"""


class TestSignaturesOfOnesOwn:
    def test_name_what_dies_here(self, tmp_path: Path) -> None:
        known = tmp_path / "results" / "known"
        known.mkdir(parents=True)
        (known / "own.toml").write_text(OWN)
        ran = run_in(tmp_path, SOURCE, "--mps-attempts=1", "-k", "Dies")
        assert "signature: mine/last-words" in ran.text

    def test_a_mistake_in_them_is_said_before_the_first_attempt(self, tmp_path: Path) -> None:
        known = tmp_path / "results" / "known"
        known.mkdir(parents=True)
        (known / "own.toml").write_text(OWN.replace("mine/", ""))
        ran = run_in(tmp_path, SOURCE, "--mps-attempts=1")
        assert ran.result.ret == 4
        assert "own.toml: signature 1 ('last-words'): id must look like 'metal/encoder-overlap'" in "\n".join(
            ran.result.errlines
        )
        assert not (tmp_path / "results" / "runs").exists()
