"""Both routes out of one process that really races, with the compiler of this machine."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from stress.device.clang import Toolchain
from stress.diagnose.tsan.parser import parse_lines
from tests.sanitizer.record import build
from tests.sanitizer.record import cases
from tests.sanitizer.record import run
from tests.sanitizer.test_parser_json import assert_routes_agree
from tests.sanitizer.test_parser_json import parse_json_lines

THREADS_OF_CROWD = 8


@pytest.fixture(scope="module")
def racy(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("racy") / "racy"
    build([str(toolchain.clangxx), "-O1"], program, hook=True)
    return program


def test_every_case_in_one_process(racy: Path, tmp_path: Path) -> None:
    names = [one for one in cases(racy) if one != "segv"]
    lines = tmp_path / "reports.jsonl"
    text = parse_lines(run(racy, *names, json_lines=lines).splitlines(keepends=True))
    assert text.complete
    assert text.unparsed_lines == 0
    assert text.total >= 30  # The runtime does not repeat a race that it has told.
    assert_routes_agree(text, parse_json_lines(lines))


def test_reports_of_many_threads_stay_whole(racy: Path, tmp_path: Path) -> None:
    lines = tmp_path / "reports.jsonl"
    text = parse_lines(run(racy, "crowd", json_lines=lines).splitlines(keepends=True))
    assert text.total == parse_json_lines(lines).total > 0
    written = [json.loads(one) for one in lines.read_text().splitlines()]
    assert Counter(one["kind"] for one in written) == {"data-race": text.total}


def test_a_process_that_dies_leaves_its_reports(racy: Path, tmp_path: Path) -> None:
    lines = tmp_path / "reports.jsonl"
    text = parse_lines(run(racy, "segv", json_lines=lines).splitlines(keepends=True))
    assert [one.kind for one in text.deadly] == ["SEGV"]
    assert_routes_agree(text, parse_json_lines(lines))


def test_the_hook_does_nothing_unless_asked(racy: Path, tmp_path: Path) -> None:
    assert parse_lines(run(racy, "race_global").splitlines()).total == 1
    assert list(tmp_path.iterdir()) == []


def test_an_open_file_says_that_the_hook_is_there(racy: Path, tmp_path: Path) -> None:
    lines = tmp_path / "reports.jsonl"
    assert run(racy, "clean", json_lines=lines) == ""
    assert lines.read_bytes() == b""


def test_the_hook_links_without_the_sanitizer(toolchain: Toolchain, tmp_path: Path) -> None:
    hook = Path(__file__).parents[2] / "harness" / "native" / "uninstrumented" / "on_report.cpp"
    main = tmp_path / "main.cpp"
    main.write_text("int main() {}\n")
    program = tmp_path / "plain"
    subprocess.run(
        [str(toolchain.clangxx), "-std=c++20", "-Wall", "-Wextra", "-Werror", str(main), str(hook), "-o", str(program)],
        check=True,
    )  # fmt: skip
    assert run(program, json_lines=tmp_path / "reports.jsonl") == ""
    assert not (tmp_path / "reports.jsonl").exists()
