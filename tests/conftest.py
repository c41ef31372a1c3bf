"""Fixtures for acceptance tests: run pytest with scenarios in a subprocess and look at its records."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stress.record import RunReader


@dataclass
class Ran:
    """One finished pytest run: its result, its records, and the items by short name (`Linear[t8]`)."""

    result: pytest.RunResult
    folder: Path | None
    records: list[dict[str, Any]]

    @property
    def text(self) -> str:
        return self.result.stdout.str()

    @property
    def items(self) -> dict[str, dict[str, Any]]:
        return {one["item"].rpartition("::")[2]: one for one in self.records if one["kind"] == "item"}

    def ends(self, name: str, role: str = "crew") -> list[dict[str, Any]]:
        """Return the `attempt_end` records of one item."""
        return [
            one
            for one in self.records
            if one["kind"] == "attempt_end" and one["role"] == role and one["item"].endswith(f"::{name}")
        ]


RunStress = Callable[..., Ran]


@pytest.fixture
def run_stress(pytester: pytest.Pytester) -> RunStress:
    """Return a function: write `scenarios/subject.py` with this source and run pytest on it."""

    def run(source: str, *args: str, timeout_s: float = 120.0, file: str = "scenarios/subject.py") -> Ran:
        path = pytester.path / file
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(
            "import os, sys, threading, time\nimport torch\nimport stress\nfrom stress import ProcessScenario, Scenario\n"
            + textwrap.dedent(source)
        )
        given = args if any(one.startswith("--mps-threads") for one in args) else ("--mps-threads=4", *args)
        result = pytester.runpytest_subprocess(
            "-p", "no:cacheprovider", "--mps-device=cpu", *given, timeout=timeout_s
        )
        return read(result, pytester.path / "results" / "runs")

    return run


def read(result: pytest.RunResult, results: Path) -> Ran:
    """Collect the records of the newest run below `results`, if there is one."""
    folders = sorted(results.glob("*")) if results.is_dir() else []
    if not folders:
        return Ran(result, None, [])
    return Ran(result, folders[-1], [dict(one) for one in RunReader(folders[-1])])
