"""A harness whose backend lacks a function ends at once and says which: built from the harness's own sources."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from stress.device.clang import Toolchain
from stress.model.shipped import shipped
from tests.sanitizer.conftest import SMALL

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def program(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = shipped("harness", "native").parent
    sources = [SMALL.parent / "lacking.cpp", root / "native" / "crew.cpp", root / "native" / "invariants.cpp"]
    target = tmp_path_factory.mktemp("lacking") / "lacking"
    command = [toolchain.clangxx, "-std=c++20", "-pthread", f"-I{root}", *sources, "-o", target]
    subprocess.run([str(one) for one in command], check=True, timeout=DEADLINE_S)
    return target


def run(program: Path, *arguments: str) -> tuple[int, list[dict[str, str]]]:
    done = subprocess.run([program, *arguments], stdout=subprocess.PIPE, timeout=DEADLINE_S, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_nobody_is_waited_for(program: Path) -> None:
    assert run(program) == (4, [{"kind": "unavailable", "function": "getStreamFromPool"}, {"kind": "end"}])


def test_what_broke_before_stays_broken(program: Path) -> None:
    status, lines = run(program, "broken")
    assert (status, [one["kind"] for one in lines]) == (1, ["violation", "unavailable", "end"])
