"""The README tells what is there: options, scenarios with their rows, verdict words."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from stress import options
from stress.scenario import ProcessScenario
from stress.scenario import Scenario

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def scenario_rows() -> dict[str, tuple[int, ...]]:
    """Return the rows of every scenario class of the repository, by class name."""
    found: dict[str, tuple[int, ...]] = {}
    for path in sorted((ROOT / "scenarios").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"readme_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name, value in vars(module).items():
            own = isinstance(value, type) and value.__module__ == module.__name__ and not name.startswith("_")
            if own and issubclass(value, Scenario | ProcessScenario):
                found[name] = value.rows
    return found


class TestCoverageTable:
    def test_every_scenario_stands_in_its_rows_and_nowhere_else(self) -> None:
        table = re.findall(r"^\| (\d+|-) \|.*?\|(.*?)\|.*\|$", README.partition("## Coverage")[2], re.M)
        told: dict[str, set[int]] = {}
        for row, cell in table:
            for name in re.findall(r"`(\w+)`", cell):
                told.setdefault(name, set()).update({int(row)} if row != "-" else set())
        assert told == {name: set(rows) for name, rows in scenario_rows().items()}

    def test_all_thirty_rows_are_told(self) -> None:
        numbers = re.findall(r"^\| (\d+) \|", README.partition("## Coverage")[2], re.M)
        assert [int(number) for number in numbers] == list(range(1, 31))


class TestOptions:
    @pytest.mark.parametrize(
        "name", [name for name, *_ in options._VALUED] + [name for name, _ in options._FLAGS]
    )
    def test_every_option_is_described(self, name: str) -> None:
        assert f"| `--mps-{name}" in README

    def test_no_other_option_is_described(self) -> None:
        known = {name for name, *_ in options._VALUED} | {name for name, _ in options._FLAGS}
        assert set(re.findall(r"^\| `--mps-([a-z-]+)", README, re.M)) == known
