"""`mps-stress explain` as a person calls it: what it says, what it refuses, and what it never says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stress.commands.explain.proposal import propose_frames
from stress.commands.explain.proposal import propose_race
from stress.commands.explain.proposal import propose_text
from stress.diagnose.signatures import find_all
from stress.diagnose.signatures import load_signatures
from stress.record import RecordWriter
from stress.record import RunFolder
from tests.made_records import Made
from tests.made_records import run_of

REPORTS = Path(__file__).parent / "reports"
CLANG = REPORTS / "clang-19"
OVERLAP = "-[AGXG15XFamilyCommandBuffer blitCommandEncoderCommon:]:836: failed assertion `A command encoder is already encoding to this command buffer'\n"


ODD = """it's 1:2:3:4:5 [red] \\ "quoted words" (aaa+bbb)* 0xdeadbeef"""


def explain(
    *args: str | Path, stdin: bytes = b"", cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "stress.commands.cli", "explain", *map(str, args)],
        input=stdin,
        capture_output=True,
        timeout=800,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
        cwd=cwd,
    )
    assert b"Traceback" not in done.stdout + done.stderr
    print(done.stdout.decode(), done.stderr.decode(), sep="\n")
    return done


class TestReports:
    def test_both_sides_stand_next_to_each_other(self) -> None:
        done = explain(CLANG / "race_two_locks.txt")
        text = done.stdout.decode()
        assert done.returncode == 0
        (sides,) = [line for line in text.splitlines() if "read of 4 bytes by T2, holding M0" in line]
        assert "earlier write of 4 bytes by T1, holding M1 (read), M2" in sides
        (frames,) = [line for line in text.splitlines() if "load  src/racy.cpp" in line]
        assert "store  src/racy.cpp" in frames
        assert "global (anonymous namespace)::counter, 4 bytes" in text
        assert "They hold different locks (M0; M1, M2)" in text
        assert "M0: first seen in race_two_locks" in text
        assert "tsan/data-race load <> store on counter" in text

    def test_every_recorded_report_is_told(self) -> None:
        names = sorted(CLANG.glob("*.txt"))
        done = explain("--json", *names)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["file"] for row in rows] == [str(name) for name in names]
        for row in rows:
            assert {"file", "reports", "types", "signatures", "unparsed_lines"} <= row.keys()
            assert row["unparsed_lines"] == 0
            # The empty stderr of the clean case is no "0 races".
            assert (row["reports"] is None) == (row["kind"] == "empty")
        assert done.returncode == 1
        assert explain(*names).returncode == 1

    def test_json_lines_of_the_hook(self) -> None:
        row = json.loads(explain("--json", CLANG / "race_two.jsonl").stdout)
        assert (row["kind"], row["reports"], row["types"]) == ("tsan-json", 2, ["data race"])

    def test_a_known_race_says_since_when_and_where(self, tmp_path: Path) -> None:
        text = (CLANG / "race_method.txt").read_text()
        path = tmp_path / "t.txt"
        path.write_text(
            text.replace("(anonymous namespace)::RoundRobin::next", "at::mps::MPSStream::commandEncoder")
        )
        out = explain(path).stdout.decode()
        assert "tsan/encoder-outside-queue, known since 2026-09" in out
        assert "https://github.com/pytorch/pytorch/issues/197805" in out
        assert "[[signature]]" not in out

    def test_an_assertion_amid_reports_is_told_too(self) -> None:
        done = explain("-", "--json", stdin=(CLANG / "race_global.txt").read_bytes() + OVERLAP.encode())
        row = json.loads(done.stdout)
        assert row["signatures"] == ["tsan/data-race add <> add on counter", "metal/encoder-overlap"]


class TestOtherTexts:
    def test_stderr_of_a_crash(self) -> None:
        done = explain("-", stdin=OVERLAP.encode())
        text = done.stdout.decode()
        assert done.returncode == 0
        assert "known failure: metal/encoder-overlap, known since 2025-09" in text
        assert "https://github.com/pytorch/pytorch/issues/197805" in text

    def test_a_crash_report(self, tmp_path: Path) -> None:
        body = {
            "pid": 7,
            "procName": "python3.11",
            "exception": {"type": "EXC_CRASH", "signal": "SIGABRT"},
            "asi": {"libsystem_c.dylib": [OVERLAP.strip(), "abort() called"]},
            "faultingThread": 0,
            "threads": [{"id": 1, "queue": "metal gpu stream", "frames": [{"imageIndex": 0, "symbol": "f"}]}],
            "usedImages": [{"name": "Metal"}],
        }
        data = (json.dumps({"bug_type": "309"}) + "\n" + json.dumps(body)).encode()
        path = tmp_path / "crash.ips"
        path.write_bytes(data)
        for done in (explain(path), explain("-", stdin=data)):
            assert done.returncode == 0
            assert "metal/encoder-overlap" in done.stdout.decode()
            assert "queue metal gpu stream" in done.stdout.decode()

    def test_what_nobody_has_described_gets_an_entry_that_would_find_it(self, tmp_path: Path) -> None:
        line = "RuntimeError: stream 17 of pool 0x7f12 gave up after 250 ms"
        done = explain("-", "--json", stdin=f"{line}\n".encode())
        row = json.loads(done.stdout)
        assert done.returncode == 1
        assert row["reports"] is None
        (tmp_path / "00-new.toml").write_text(row["proposals"][0])
        (signature,) = load_signatures([tmp_path])
        again = "RuntimeError: stream 3 of pool 0x99 gave up after 7 ms"
        assert [one.signature for one in find_all(again, signatures=[signature])] == [signature]
        assert not find_all("RuntimeError: something else", signatures=[signature])

    @pytest.mark.parametrize(
        "entry",
        [
            propose_text(ODD, ODD, "SIGABRT"),
            propose_frames(["libsystem_kernel.dylib __pthread_kill + 8", "Metal -[A(b) c:] + 12"], "SIGSEGV"),
            propose_race("tsan/data-race main::{lambda} <> -[SimQueue push:] on 'x'"),
        ],
    )
    def test_proposals_load(self, entry: str | None, tmp_path: Path) -> None:
        assert entry is not None
        (tmp_path / "00-new.toml").write_text(entry)
        assert len(load_signatures([tmp_path])) == 1

    @pytest.mark.parametrize(
        "line",
        [
            "9 " * 500,
            "!!! ???",
            "0x7f12 0x7f13",
            "Aborted",
            "numeric: thread 3 iteration 7: wrong number; 12 of 64 elements",
            "cross-talk: that of thread 5 iteration 18",
        ],
    )
    def test_an_entry_that_would_name_everything_is_not_proposed(self, line: str) -> None:
        assert propose_text(line, line) is None
        row = json.loads(explain("-", "--json", stdin=f"{line}\n".encode()).stdout)
        assert row["proposals"] == []

    def test_a_completed_entry_is_read_in_its_folder_and_below(self, tmp_path: Path) -> None:
        line = "RuntimeError: stream 17 of pool 0x7f12 gave up after 250 ms"
        row = json.loads(explain("-", "--json", stdin=f"{line}\n".encode(), cwd=tmp_path).stdout)
        own = tmp_path / "results" / "known"
        own.mkdir(parents=True)
        (own / "own.toml").write_text(row["proposals"][0].replace("new/", "mine/"))
        (tmp_path / "below").mkdir()
        for folder in (tmp_path, tmp_path / "below"):
            done = explain("-", stdin=b"RuntimeError: stream 3 of pool 0x99 gave up after 7 ms\n", cwd=folder)
            assert done.returncode == 0
            assert "known failure: mine/" in done.stdout.decode()

    def test_the_place_that_is_read_is_the_one_that_is_named(self, tmp_path: Path) -> None:
        told = explain("-", stdin=b"RuntimeError: stream 17 gave up entirely\n", cwd=tmp_path).stdout.decode()
        assert "complete this entry in ./results/known/own.toml" in told

    def test_a_wrong_entry_of_ones_own_is_one_sentence(self, tmp_path: Path) -> None:
        own = tmp_path / "results" / "known"
        own.mkdir(parents=True)
        (own / "own.toml").write_text("[[signature]]\nid = 'x'\n")
        done = explain("-", stdin=b"boom\n", cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.decode().count("\n") == 1
        assert "own.toml: signature 1" in done.stderr.decode()


class TestRecords:
    @pytest.fixture
    def run(self, tmp_path: Path) -> Path:
        folder = RunFolder.create(tmp_path, "2026-11-20T0917Z-host-4f2a")
        name = "host-1-1.stderr"
        folder.side(name).write_bytes((CLANG / "race_method.txt").read_bytes())
        writer = RecordWriter(folder)
        writer.write(
            "run", argv=[], rootdir="/", seed=1, device="sim", simulated=True, settings={}, environment={}
        )
        verdicts = [
            ("pass", "", None),
            ("crash", OVERLAP, "metal/encoder-overlap"),
            ("mismatch", "wrong number 7", None),
        ]
        for number, (verdict, headline, signature) in enumerate(verdicts):
            of = {"item": "s.py::A[t8]", "role": "crew", "attempt": number}
            writer.write(
                "attempt_start", scenario="A", params={}, threads=8, iterations=1, seed=1, command="x", **of
            )
            writer.write(
                "attempt_end", verdict=verdict, seconds=1.0, headline=headline, signature=signature,
                stderr=name if verdict == "crash" else None, **of,
            )  # fmt: skip
        writer.close()
        return folder.path

    def test_failures_by_name(self, run: Path) -> None:
        (file,) = run.glob("*.jsonl")
        for path in (run, file):
            done = explain(path)
            text = done.stdout.decode()
            assert done.returncode == 1  # The mismatch has no name.
            assert "simulated" in text
            assert "1 crash, 1 mismatch, 1 pass" in text
            assert "1 attempt: crash, metal/encoder-overlap, known since 2025-09" in text
            assert "1 attempt: mismatch, not known" in text
            assert "tsan/data-race RoundRobin::next <> RoundRobin::next" in text  # out of its stderr

    def test_only_what_was_said_is_proposed_and_once(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        (made.folder / "host-1-1000-7.stderr").write_text("Widget 7 gave up entirely\n")
        for number in range(3):
            wrong = f"numeric: thread {number} iteration 4: wrong number; {number} of 64 elements"
            made.attempts(f"a.py::W{number}[t8]", {"mismatch": 1}, headline=wrong)
            said = f"Widget {number} gave up entirely"
            made.attempts(f"a.py::C{number}[t8]", {"crash": 1}, headline=said, stderr="host-1-1000-7.stderr")
            made.attempts(
                f"a.py::K{number}[t8]",
                {"crash": 1},
                headline=f"killed by SIGKILL, no text on stderr {number}",
            )
            error = {
                "name": "exception",
                "verdict": "race",
                "text": f"ValueError: tensor {number} has the wrong shape\n  at x",
            }
            made.attempts(
                f"a.py::R{number}[t8]",
                {"race": 1},
                headline=f"exception: thread {number}: ValueError",
                findings=[error],
            )
        row = json.loads(explain("--json", made.end().folder).stdout)
        patterns = [re.search("pattern = '(.*)'", one)[1] for one in row["proposals"]]  # type: ignore[index]
        assert patterns == [
            r"Widget \d{1,9} gave up entirely",
            r"ValueError: tensor \d{1,9} has the wrong shape",
        ]

    @pytest.mark.parametrize("kept", [1, 2, 3])
    def test_a_file_that_was_cut_is_not_explained(self, tmp_path: Path, kept: int) -> None:
        folder = run_of(tmp_path / "run", {"a.py::S[t8]": {"pass": 2}})
        assert explain(folder).returncode == 0
        (file,) = folder.glob("*.jsonl")
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(lines[:kept]) + lines[kept][:20])
        assert explain(folder).returncode == 1

    def test_damaged_records(self, run: Path) -> None:
        (file,) = run.glob("*.jsonl")
        with file.open("ab") as out:
            out.write(b'not JSON\n{"v":1,"torn')
        row = json.loads(explain("--json", run).stdout)
        assert row["unparsed_lines"] == 1
        assert row["signatures"] == ["metal/encoder-overlap"]
        assert "end in the middle of a line" in explain(run).stdout.decode()


class TestBadInput:
    @pytest.mark.parametrize(
        ("data", "kind"),
        [
            (b"", "empty"),
            (b" \n\n", "empty"),
            (b"\x00\x01\x02" * 5000, "binary"),
            (bytes(range(128, 256)) * 100, "binary"),
            (b"all fine\n", "text"),
            (b"{" * 10_000, "text"),
            (b'{"procName": 7', "crash-report"),
        ],
    )
    def test_is_answered_and_never_as_no_races(self, data: bytes, kind: str) -> None:
        done = explain("--json", "-", stdin=data)
        row = json.loads(done.stdout)
        assert (row["kind"], row["reports"], row["signatures"]) == (kind, None, [])
        assert done.returncode == 1
        text = explain("-", stdin=data).stdout.decode()
        assert "0 report" not in text
        assert "0 race" not in text

    @pytest.mark.parametrize("name", ["fatal_bad_symbolizer", "fatal_unexpected_mapping"])
    def test_a_runtime_that_did_not_start_is_no_clean_run(self, name: str) -> None:
        done = explain("--json", REPORTS / "shared" / f"{name}.txt")
        row = json.loads(done.stdout)
        assert row["reports"] is None
        assert row["signatures"][0].startswith("tool/tsan-")

    def test_a_text_that_ends_too_early(self) -> None:
        data = (CLANG / "race_two_locks.txt").read_bytes()[:700]
        assert "ends in the middle of a report" in explain("-", stdin=data).stdout.decode()

    def test_files_that_cannot_be_read(self, tmp_path: Path) -> None:
        done = explain("--json", tmp_path / "missing", tmp_path, CLANG / "race_two.txt")
        assert done.returncode == 2
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["kind"] for row in rows] == ["unreadable", "unreadable", "tsan"]
        errors = done.stderr.decode().splitlines()
        assert len(errors) == 2
        assert errors[0] == f"mps-stress explain: {tmp_path / 'missing'}: No such file or directory"
        assert "no records" in errors[1]

    def test_text_is_data(self, tmp_path: Path) -> None:
        hostile = "\x1b]0;owned\x07\x1b[2J[bold red]x[/] \u202e"
        text = (
            (CLANG / "race_named.txt")
            .read_text()
            .replace("mps-worker-0", hostile)
            .replace("add(int*)", f"{hostile}(int*)")
        )
        for data in (text, f"{hostile}\n"):
            out = explain("-", stdin=data.encode()).stdout.decode()
            assert not any(one in out for one in ("\x1b", "\x07", "\u202e"))
            assert "[bold red]x[/]" in out
