"""docs/coverage.md is what the scenario classes say, every row is covered, and every scenario finds a seeded fault."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from stress.commands import cli
from tools import coverage

FINDS_NOTHING_KNOWN = {
    "AttributesOfSharedTensors": "of a Python without a global lock, which is not on the machine that faults were counted on",
    "CompiledByAll": "its libraries are each thread's own; what they share is the compiler of a Mac, or of a core",
    "CompiledInductor": "the simulated device, which carries the faults, has no Inductor",
    "CopyOnATransferStream": "without its wait it is what --mps-order finds; newer than the runs that faults were counted in",
    "ErrorsOnASharedStream": "the faults of errors are the fork's, where each thread has its own; planted ones control it",
    "StashOnASideStream": "the same, without its record_stream",
    "StaticInputOfAReplay": "the same, without its wait",
    "GraphPathLayerNorm": "the simulated device has no second path that MPS_FORCE_GRAPH_PATH would take",
    "GraphPathLinear": "as GraphPathLayerNorm",
    "UnbindFromThreads": "as AttributesOfSharedTensors",
    "UnlikeKernels": "pytorch#167541's subject: no two threads compile the same, so that faults strike it seldom",
}
"""Scenario -> why no seeded fault is known to be found by it, though it stays."""


@pytest.fixture(scope="module")
def scenarios() -> list[coverage.Covered]:
    return coverage.covered()


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert coverage.main(["--check"]) == 0, capsys.readouterr().out


def test_a_page_that_is_not_is_named_and_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "coverage.md"
    shutil.copy(coverage.PAGE, page)
    page.write_text(page.read_text().replace("| simple parallel ops |", "| something else |"))
    assert coverage.main(["--check", f"--page={page}"]) == 1
    assert "python -m tools.coverage --write" in capsys.readouterr().out
    assert coverage.main(["--write", f"--page={page}"]) == 0
    assert page.read_text() == coverage.PAGE.read_text()


def test_every_row_has_scenarios_or_a_command(scenarios: list[coverage.Covered]) -> None:
    rows = {row for one in scenarios for row in one.cls.rows}
    assert rows.isdisjoint(coverage.COMMANDS)
    assert rows | set(coverage.COMMANDS) == set(range(1, 31)) == set(coverage.SUBJECTS)


def test_commands_of_the_table_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    printed = capsys.readouterr().out
    assert "coverage" not in printed
    for command in coverage.COMMANDS.values():
        assert re.search(rf"^ +{command.removeprefix('mps-stress ')}\b", printed, re.M)


def test_every_scenario_finds_a_seeded_fault_or_is_a_canary(scenarios: list[coverage.Covered]) -> None:
    blind = {one.cls.__name__ for one in scenarios if not one.faults and not one.cls.canary}
    assert blind == set(FINDS_NOTHING_KNOWN), (
        "run it with a fault armed (pytest --mps-threads=8 --mps-device=sim --mps-sim-faults=FAULT), then add its "
        "line to tools/seeded_faults.toml"
    )


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('"linear.py::Gone" = ["copy_torn"]', r"no such scenario: linear\.py::Gone"),
        ('"linear.py::SharedLinear" = ["copy_tron"]', "SharedLinear: the zoo has no fault copy_tron"),
    ],
)
def test_a_line_about_nothing_is_refused(tmp_path: Path, line: str, message: str) -> None:
    faults = tmp_path / "seeded_faults.toml"
    faults.write_text(line)
    with pytest.raises(ValueError, match=message):
        coverage.covered(faults=faults)
