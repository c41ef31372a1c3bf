"""Records survive full disks, kills, forks and long texts; each condition is the real one."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import read_run
from stress.record import run_id
from stress.record.writer import IDENTITY_CHARS_MAX
from stress.record.writer import LINE_BYTES_MAX

START: dict[str, Any] = {
    "item": "linear.py::Shared[t8]",
    "role": "crew",
    "attempt": 0,
    "scenario": "Shared",
    "params": {},
    "threads": 8,
    "iterations": 50,
    "seed": 1,
    "command": "pytest --mps-threads=8",
}
END: dict[str, Any] = {
    "item": "linear.py::Shared[t8]",
    "role": "crew",
    "attempt": 0,
    "verdict": "pass",
    "seconds": 1.5,
    "headline": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "results" / "runs", run_id())


def lines_of(folder: RunFolder) -> list[dict[str, Any]]:
    texts = [path.read_bytes() for path in sorted(folder.path.glob("*.jsonl"))]
    assert all(text.endswith(b"\n") for text in texts if text)
    return [json.loads(line) for text in texts for line in text.splitlines()]


def run_program(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program that has this module's START and END and the writer's names."""
    prelude = f"START = {START!r}\nEND = {END!r}\n" + textwrap.dedent(
        """
        import os, resource, signal, sys
        from pathlib import Path
        from stress.record import RecordError, RecordWriter, RunFolder
        """
    )
    return subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        cwd=Path(__file__).parents[2],
    )


class TestWrite:
    def test_every_line_says_version_kind_run_and_time(self, folder: RunFolder) -> None:
        writer = RecordWriter(folder)
        assert writer.write("attempt_start", **START)
        assert writer.write("attempt_end", **END)
        start, end = lines_of(folder)
        assert (start["v"], start["kind"], start["run"]) == (1, "attempt_start", folder.run)
        assert {key: end[key] for key in END} == END
        assert start["time"] <= end["time"]
        assert writer.lost == 0

    def test_one_file_per_writer(self, folder: RunFolder) -> None:
        writers = [RecordWriter(folder) for _ in range(5)]
        assert len({writer.name for writer in writers}) == 5
        for writer in writers:
            assert re.fullmatch(rf"[a-z0-9-]+-{os.getpid()}-\d+\.jsonl", writer.name)
            assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{4}Z-[a-z0-9-]+-[0-9a-f]{4}", writer.folder.run)

    def test_side_stems_are_unique_and_valid(self, folder: RunFolder) -> None:
        writers = [RecordWriter(folder), RecordWriter(folder)]
        stems = [writer.side_stem() for writer in writers for _ in range(3)]
        assert len(set(stems)) == 6
        assert all(folder.side(stem + ".stderr").parent == folder.path for stem in stems)

    def test_threads_do_not_mix_their_lines(self, folder: RunFolder) -> None:
        writer = RecordWriter(folder)

        def work(number: int) -> None:
            for i in range(50):
                writer.write("attempt_end", **{**END, "attempt": 1000 * number + i, "notes": ["x" * 5000]})

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({line["attempt"] for line in lines_of(folder)}) == 200

    @pytest.mark.parametrize(
        ("kind", "fields", "reason"),
        [
            ("attempt_end", {**END, "verdict": "fine"}, "'verdict' is 'fine', expected a verdict"),
            ("attempt_end", {**END, "seconds": "1"}, "expected float"),
            ("attempt_end", {**END, "stderr": "../a"}, "'stderr' is '../a'"),
            ("attempt_end", {"item": "x"}, "attempt_end record without"),
            ("attempt_start", {**START, "attempt": True}, "expected int"),
            ("lunch", {}, "unknown kind"),
        ],
    )
    def test_a_record_against_the_schema_is_the_callers_bug(
        self, folder: RunFolder, kind: Any, fields: dict[str, Any], reason: str
    ) -> None:
        with pytest.raises(ValueError, match=re.escape(reason)):
            RecordWriter(folder).write(kind, **fields)
        assert lines_of(folder) == []


class TestLongRecords:
    @pytest.mark.parametrize(
        "value",
        [
            "x" * 10**6,
            "\U0001f4a5" * 10**5,
            ["x" * 1000] * 1000,
            {f"k{i}": list(range(100)) for i in range(1000)},
            [[[["deep"] * 40] * 40] * 40] * 4,
            {"k" * 10**5: 1},
        ],
    )
    def test_a_long_field_is_cut_and_named(self, folder: RunFolder, value: object) -> None:
        RecordWriter(folder).write("attempt_end", **END, extra=value)
        assert all(path.stat().st_size <= LINE_BYTES_MAX for path in folder.path.iterdir())
        (line,) = read_run(folder.path)
        assert line["verdict"] == "pass"  # type: ignore[typeddict-item]
        if not (isinstance(value, dict) and len(value) == 1):
            assert line["truncated"][0].startswith("extra")

    def test_declared_fields_keep_their_types_when_cut(self, folder: RunFolder) -> None:
        findings = [{"thread": i, "text": "y" * 3000} for i in range(5000)]
        RecordWriter(folder).write("attempt_end", **END, findings=findings, notes=["z" * 10**5])
        reader = read_run(folder.path)
        (line,) = reader
        assert reader.problems == []
        assert line["kind"] == "attempt_end"
        assert line["notes"][0].endswith("[truncated, 100000 characters]")
        assert "findings: " in " ".join(line["truncated"])

    def test_start_and_end_stay_a_pair(self, folder: RunFolder) -> None:
        writer = RecordWriter(folder)
        item = "\u00e9" * (IDENTITY_CHARS_MAX + 500)
        writer.write("attempt_start", **{**START, "item": item})
        writer.write("attempt_end", **{**END, "item": item, "findings": [{"t": "y" * 9000}] * 900})
        reader = read_run(folder.path)
        assert len(list(reader)) == 2
        assert reader.unfinished == []

    def test_values_that_json_does_not_have(self, folder: RunFolder) -> None:
        odd = {"nan": float("nan"), "inf": float("-inf"), "path": Path("/x"), "tuple": (1, 2), "huge": 10**50}
        RecordWriter(folder).write("attempt_end", **END, findings=[odd], notes=["\udc80\x00\n"])
        (line,) = lines_of(folder)
        assert line["findings"] == [
            {"nan": "nan", "inf": "-inf", "path": "/x", "tuple": [1, 2], "huge": "1" + "0" * 50}
        ]
        reader = read_run(folder.path)
        (record,) = reader
        assert record["kind"] == "attempt_end"
        assert record["notes"] == ["?\x00\n"]  # A lone surrogate cannot be printed.


class TestNoRoom:
    """RLIMIT_FSIZE stands in for a full disk: the write that crosses it is short, the next one fails."""

    FULL = """
        folder = RunFolder.open(Path(sys.argv[1]))
        said = []
        writer = RecordWriter(folder, on_lost=said.append)
        assert writer.write("attempt_start", **START)
        size = (folder.path / writer.name).stat().st_size
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, hard))
        assert not writer.write("attempt_end", **END)
        assert not writer.write("attempt_end", **END)
        assert (folder.path / writer.name).stat().st_size == size, "a torn line is left"
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert writer.write("attempt_end", **END)
        assert writer.lost == 2
        assert len(said) == 1
        print(said[0])
    """

    def test_a_full_disk_loses_records_and_not_the_run(self, folder: RunFolder) -> None:
        done = run_program(self.FULL, folder.path)
        assert done.returncode == 0, done.stderr
        assert "a record is lost, the run continues" in done.stdout
        assert str(folder.path) in done.stdout
        reader = read_run(folder.path)
        records = list(reader)
        assert [record["kind"] for record in records] == ["attempt_start", "attempt_end"]
        assert records[1]["lost"] == 2
        assert (reader.problems, reader.torn_lines, reader.unfinished) == ([], 0, [])

    def test_a_torn_line_that_cannot_be_cut_off_spoils_itself_alone(
        self, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # The one condition that is played: no file system here takes a write and refuses to shrink.
        writer = RecordWriter(folder)
        writer.write("attempt_start", **START)
        real = os.write

        def refuse(fd: int, length: int) -> None:
            raise OSError(5, "Input/output error")

        def tear(fd: int, data: bytes) -> int:
            real(fd, data[:17])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "ftruncate", refuse)
        monkeypatch.setattr(os, "write", tear)
        assert not writer.write("attempt_end", **END)
        monkeypatch.setattr(os, "write", real)
        for attempt in (1, 2):
            assert writer.write("attempt_end", **{**END, "attempt": attempt})
        monkeypatch.undo()

        reader = read_run(folder.path)
        assert [record.get("attempt") for record in reader] == [0, 1, 2]
        assert [problem.line for problem in reader.problems] == [2]

    def test_probe_on_a_file_system_without_room(self, folder: RunFolder) -> None:
        program = """
            folder = RunFolder.open(Path(sys.argv[1]))
            folder.probe()
            assert list(folder.path.iterdir()) == []
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
            try:
                folder.probe()
            except RecordError as error:
                print(error.told("--mps-"))
            assert list(folder.path.iterdir()) == []
        """
        done = run_program(program, folder.path)
        assert done.returncode == 0, done.stderr
        assert "cannot write: File too large" in done.stdout
        assert "--mps-results=DIR" in done.stdout

    @pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="needs root to mount a small tmpfs"
    )
    def test_probe_and_write_on_a_full_tmpfs(self, tmp_path: Path) -> None:
        program = """
            results = Path(sys.argv[1])
            folder = RunFolder.create(results, "run")
            folder.probe()
            said = []
            writer = RecordWriter(folder, on_lost=said.append)
            filler = os.open(results / "filler", os.O_WRONLY | os.O_CREAT)
            while os.write(filler, bytes(4096)) == 4096:
                if os.statvfs(results).f_bavail == 0:
                    break
            done = [writer.write("attempt_end", **{**END, "notes": ["x" * 9000]}) for _ in range(3)]
            assert not any(done), done
            print(said)
            try:
                folder.probe()
            except RecordError as error:
                print(error)
            os.ftruncate(filler, 0)
            assert writer.write("attempt_end", **END)
        """
        # A mount namespace of its own: gone with the process, whatever happens to the test.
        script = 'mount -t tmpfs -o size=512k none "$1" && exec "$2" -c "$3" "$1"'
        probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
        if probe.returncode:
            pytest.skip("no mount namespaces here")
        prelude = f"END = {END!r}\nimport os, sys\nfrom pathlib import Path\n"
        prelude += "from stress.record import RecordError, RecordWriter, RunFolder, read_run\n"
        program = prelude + textwrap.dedent(program)
        program += 'assert [r.get("lost") for r in read_run(folder.path)] == [3]\n'
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), sys.executable, program],
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("No space left on device") == 2


class TestProcesses:
    def test_a_forked_child_may_not_write(self, folder: RunFolder) -> None:
        program = """
            writer = RecordWriter(RunFolder.open(Path(sys.argv[1])))
            writer.write("attempt_start", **START)
            child = os.fork()
            if child == 0:
                try:
                    writer.write("attempt_end", **END)
                except RecordError as error:
                    os._exit(7 if "inherited" in str(error) else 1)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            writer.write("attempt_end", **END)
        """
        done = run_program(program, folder.path)
        assert done.returncode == 0, done.stderr
        assert [line["kind"] for line in lines_of(folder)] == ["attempt_start", "attempt_end"]

    def test_killed_writers_leave_at_most_a_torn_last_line(self, folder: RunFolder) -> None:
        program = """
            writer = RecordWriter(RunFolder.open(Path(sys.argv[1])))
            for attempt in range(10**9):
                writer.write("attempt_start", **{**START, "attempt": attempt})
                print(attempt, flush=True)
                writer.write("attempt_end", **{**END, "attempt": attempt, "notes": ["x" * 15_000] * 4})
        """
        prelude = f"START = {START!r}\nEND = {END!r}\nimport sys\nfrom pathlib import Path\n"
        prelude += "from stress.record import RecordWriter, RunFolder\n"
        seen = 0
        for kill_at in range(8):
            command = [sys.executable, "-c", prelude + textwrap.dedent(program), str(folder.path)]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
            ) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    if int(line) == kill_at:
                        process.send_signal(signal.SIGKILL)
                        break
            seen += kill_at + 1
        reader = read_run(folder.path)
        records = list(reader)
        assert reader.problems == []
        assert reader.torn_lines <= 8
        starts = sum(record["kind"] == "attempt_start" for record in records)
        ends = sum(record["kind"] == "attempt_end" for record in records)
        assert starts >= seen  # What was announced is on file.
        assert len(reader.unfinished) == starts - ends <= 8


class TestInterrupt:
    def test_ctrl_c_between_two_parts_leaves_no_torn_line(
        self, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writer = RecordWriter(folder)
        writer.write("attempt_start", **START)
        real = os.write
        parts = iter([5])

        def interrupted(fd: int, data: bytes) -> int:
            for length in parts:
                return real(fd, data[:length])
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.write("attempt_end", **END)
        monkeypatch.undo()
        writer.write("attempt_end", **END)
        assert [line["kind"] for line in lines_of(folder)] == ["attempt_start", "attempt_end"]
