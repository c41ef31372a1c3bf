"""The reader takes what a crash or a stranger left, counts what it cannot use, and never stops."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from stress.record import SCHEMA_VERSION
from stress.record import RecordError
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import RunReader
from stress.record import host_environment
from stress.record import read_run
from stress.record.reader import LINE_BYTES_MAX
from stress.record.reader import PROBLEMS_MAX
from stress.record.schema import KINDS

SAMPLES = Path(__file__).parent / "samples"
ITEM: dict[str, Any] = {
    "v": 1,
    "kind": "item",
    "run": "r",
    "time": 1.0,
    "item": "i",
    "verdict": "pass",
    "seconds": 2,
    "attempts": 5,
    "counted": 5,
    "failures": 0,
    "verdicts": {"pass": 5},
}


def line(**changes: Any) -> bytes:
    return json.dumps({**ITEM, **changes}).encode() + b"\n"


def read(folder: Path, *texts: bytes) -> tuple[RunReader, list[Any]]:
    for number, text in enumerate(texts):
        (folder / f"{number}.jsonl").write_bytes(text)
    reader = read_run(folder)
    return reader, list(reader)


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_samples_of_all_versions_stay_readable(version: int) -> None:
    reader = read_run(SAMPLES / f"v{version}")
    records = list(reader)
    assert {record["kind"] for record in records} == set(KINDS)
    assert reader.problems == []
    assert reader.torn_lines == 1
    assert dict(reader.unknown_kinds) == {"thermal": 1}
    assert [(u.item, u.role, u.attempt) for u in reader.unfinished] == [
        ("scenarios/linear.py::SharedLinear[float32-t8]", "crew", 1)
    ]
    crash = next(r for r in records if r["kind"] == "attempt_end" and r["verdict"] == "crash")
    assert crash["signature"] == "metal/encoder-overlap"
    assert crash["somebody's extra key"] == {"kept": True}  # type: ignore[typeddict-item]


def test_a_real_record_round_trips(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "run")
    environment = host_environment(Path(__file__).parent)
    RecordWriter(folder).write(
        "run",
        argv=["pytest"],
        rootdir="/x",
        seed=2**62,
        device="cpu",
        simulated=False,
        settings={"threads": [8]},
        environment=environment,
    )
    reader = read_run(folder.path)
    (record,) = reader
    assert reader.problems == []
    assert record["kind"] == "run"
    assert record["environment"] == environment
    assert record["seed"] == 2**62


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{\n", "not JSON"),
        (b"\n", "not JSON"),
        (b"\xff\xfe\n", "not JSON"),
        (b"\xef\xbb\xbf{}\n", "not JSON"),
        (b"{}\0\n", "not JSON"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b'{"v": 1, "x": NaN}\n', "NaN is not JSON"),
        (line(seconds=1).replace(b'"seconds": 1', b'"seconds": 1e999'), "out of range"),
        (line(attempts=10**30), "out of range"),
        (b'{"v": ' + b"9" * 1_000_000 + b"}\n", "out of range"),
        (b"[]\n", "not a JSON object"),
        (b"null\n", "not a JSON object"),
        (b"{}\n", "schema version None is unknown"),
        (line(v=99), "schema version 99 is unknown; upgrade mps-stress"),
        (line(v=True), "schema version True"),
        (line(v="1"), "schema version '1'"),
        (line(kind=None), "kind is None"),
        (line(kind=["item"]), "kind is ['item']"),
        (line(verdict="green"), "'verdict' is 'green', expected a verdict"),
        (line(attempts=True), "'attempts' is True, expected int"),
        (line(attempts=5.0), "'attempts' is 5.0, expected int"),
        (line(seconds="2"), "'seconds' is '2', expected float"),
        (line(verdicts={"pass": "5"}), "'verdicts' is {'pass': '5'}, expected dict[str, int]"),
        (line(verdicts=[]), "expected dict[str, int]"),
        (line(item=None), "'item' is None, expected str"),
        (line(run={}), "'run' is {}, expected str"),
    ],
)
def test_an_unusable_line_is_named_and_the_rest_is_read(tmp_path: Path, text: bytes, reason: str) -> None:
    reader, records = read(tmp_path, line(item="a") + text + line(item="b"))
    assert [record["item"] for record in records] == ["a", "b"]
    (problem,) = reader.problems
    assert (problem.file, problem.line) == ("0.jsonl", 2)
    assert reason in problem.reason
    assert str(problem).startswith("0.jsonl:2: ")
    assert len(str(problem)) < 400


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", "a\\b", "..", "", 7])
def test_side_files_outside_the_folder_are_refused(tmp_path: Path, name: object) -> None:
    end = {**ITEM, "kind": "attempt_end", "role": "crew", "attempt": 0, "headline": "", "stderr": name}
    reader, records = read(tmp_path, json.dumps(end).encode() + b"\n")
    assert records == []
    assert "'stderr'" in reader.problems[0].reason
    assert "plain file name" in reader.problems[0].reason


def test_a_torn_last_line_is_ignored_in_every_file(tmp_path: Path) -> None:
    whole = line()
    reader, records = read(tmp_path, whole + whole[:20], whole + whole[:-1], b"", b"{")
    assert len(records) == 2
    assert (reader.torn_lines, reader.problems) == (3, [])


def test_a_file_is_readable_at_every_length(tmp_path: Path) -> None:
    text = line(item="a") + line(item="b")
    for length in range(len(text)):
        reader, records = read(tmp_path, text[:length])
        assert len(records) == text[:length].count(b"\n")
        assert reader.problems == []


def test_unknown_kinds_are_counted_not_kept(tmp_path: Path) -> None:
    texts = [line(kind="thermal")] * 3 + [line(kind=f"k{i}") for i in range(500)] + [line(kind="x" * 9999)]
    reader, records = read(tmp_path, b"".join(texts))
    assert records == []
    assert reader.unknown_kinds["thermal"] == 3
    assert reader.unknown_kinds.total() == 504
    assert len(reader.unknown_kinds) <= 101


def test_unknown_keys_are_kept(tmp_path: Path) -> None:
    _, (record,) = read(tmp_path, line(future={"a": [1]}))
    assert record["future"] == {"a": [1]}


def attempt(kind: str, number: int, **changes: Any) -> bytes:
    start = {"scenario": "S", "params": {}, "threads": 8, "iterations": 5, "seed": 1, "command": "x"}
    end = {"verdict": "pass", "seconds": 1, "headline": ""}
    fields = {"role": "crew", "attempt": number, **(start if kind == "attempt_start" else end), **changes}
    return line(kind=kind, **fields)


def test_starts_without_ends_are_unfinished(tmp_path: Path) -> None:
    reader, _ = read(
        tmp_path,
        attempt("attempt_start", 0)
        + attempt("attempt_end", 0)
        + attempt("attempt_start", 1)
        + attempt("attempt_start", 1, role="control")
        + attempt("attempt_end", 1, role="control")
        + attempt("attempt_end", 0, verdict="crash", amends=True),
        attempt("attempt_start", 7),
    )
    assert [(u.attempt, u.role, u.file, u.line) for u in reader.unfinished] == [
        (1, "crew", "0.jsonl", 3),
        (7, "crew", "1.jsonl", 1),
    ]


def test_a_very_long_line_is_skipped(tmp_path: Path) -> None:
    long = line(item="x" * (LINE_BYTES_MAX + 1))
    reader, records = read(tmp_path, line(item="a") + long + line(item="b"), long[:-5])
    assert [record["item"] for record in records] == ["a", "b"]
    assert [problem.reason for problem in reader.problems] == [f"longer than {LINE_BYTES_MAX} bytes"]
    assert reader.torn_lines == 1


def test_memory_stays_flat(tmp_path: Path) -> None:
    texts = [b"junk\n" * 100, *(attempt("attempt_start", i) + attempt("attempt_end", i) for i in range(500))]
    (tmp_path / "a.jsonl").write_bytes(b"".join(texts) * 20)
    (tmp_path / "b.jsonl").touch()
    os.truncate(tmp_path / "b.jsonl", 20 * LINE_BYTES_MAX)  # One line of zeros, twenty times the limit.
    reader = read_run(tmp_path)
    tracemalloc.start()
    try:
        count = sum(1 for _ in reader)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert reader.problems_total == 2000
    assert len(reader.problems) == PROBLEMS_MAX
    assert peak < 4 * LINE_BYTES_MAX


def test_links_pipes_and_folders_are_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(line())
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "a.jsonl").symlink_to(secret)
    os.mkfifo(folder / "b.jsonl")
    (folder / "c.jsonl").mkdir()
    reader = read_run(folder)
    assert list(reader) == []
    assert [(problem.file, problem.reason) for problem in reader.problems] == [
        (name, "not a regular file") for name in ("a.jsonl", "b.jsonl", "c.jsonl")
    ]


def test_lone_surrogates_can_be_printed(tmp_path: Path) -> None:
    _, (record,) = read(tmp_path, line(item="a\udc80\ud800", extra={"k\udfff": ["\ud83d\ude00"]}))
    assert record["item"] == "a??"
    assert json.dumps(record, ensure_ascii=False).encode("utf-8")
    assert record["extra"] == {"k?": ["\U0001f600"]}


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot read"):
        read_run(tmp_path / "none")
