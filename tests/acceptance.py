"""Acceptance tests: run pytest with scenarios in a subprocess and look at its records."""

from __future__ import annotations

import subprocess
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stress.record import RunReader
from tests import warm
from tests.valid_records import assert_valid


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


PROLOGUE = """\
import os, sys, threading, time
class _Torch:
    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)  # pytest, which looks at all that a file has
        import torch
        return getattr(torch, name)
if "pytest" in sys.modules:
    torch = _Torch()
else:
    import torch
import stress
from stress import ProcessScenario, Scenario
"""
"""What every scenario file of these tests begins with.

pytest itself, which runs no step, imports torch only where a class asks it for something: importing takes as long as the rest
of a small run, in which the fork server has imported it, too.
"""


def run_in(
    folder: Path, source: str, *args: str, timeout_s: float = 800.0, file: str = "scenarios/subject.py"
) -> Ran:
    """Write the scenario file below `folder`, run pytest there in a subprocess, and read its records.

    Usable from fixtures of any scope, unlike the fixture `run_stress`: one run serves many tests.
    """
    path = folder / file
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(PROLOGUE + textwrap.dedent(source))
    given = args if any(one.startswith("--mps-threads") for one in args) else ("--mps-threads=4", *args)
    # Without pytest-run-parallel, which imports numpy: its company is a subject of tests/ordinary and test_behaviour.py.
    plugins = ("-p", "no:cacheprovider", "-p", "no:run-parallel")
    command = warm.command("pytest", *plugins, "--mps-device=cpu", *given)
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    print(done.stdout, done.stderr, sep="\n")  # pytest shows it where the test fails
    result = pytest.RunResult(
        done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), time.perf_counter() - started
    )
    return read(result, folder / "results" / "runs")


def read(result: pytest.RunResult, results: Path) -> Ran:
    """Collect the records of the newest run below `results`, if there is one."""
    folders = sorted(results.glob("*"), key=lambda one: one.stat().st_mtime) if results.is_dir() else []
    if not folders:
        return Ran(result, None, [])
    records = [dict(one) for one in RunReader(folders[-1])]
    assert_valid(records)
    return Ran(result, folders[-1], records)
