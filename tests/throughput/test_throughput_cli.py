"""`mps-stress throughput` as a user runs it: in a process of its own, on the CPU and on the simulated device."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stress.record import RunReader
from tests import warm

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")


def throughput(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        warm.command("stress.commands.cli", "throughput", "--results=runs", "--seed=1", *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    print(done.stdout, done.stderr)
    return done


def records(folder: Path) -> list[dict[str, Any]]:
    (run,) = (folder / "runs").iterdir()
    return [dict(one) for one in RunReader(run)]


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--workloads=linaer", "unknown 'linaer'; known are linear, layer-norm, mlp, transformer, large"),
        ("--ways=fibres", "unknown 'fibres'; known are threads, processes, batching"),
        ("--threads=2,x", "expected whole numbers from 1 to 256, as in --threads=1,2,4,8,16"),
        ("--seconds=0", "--seconds=0: expected a positive number"),
        ("--device=gpu", "--device=gpu: choose one of auto, mps, cuda, cpu, sim"),
        ("--against=/nowhere/python", "expected the Python interpreter of the other torch build"),
        ("--sim-faults=nonsense", "--sim-faults=nonsense: there is no fault 'nonsense'"),
    ],
)
def test_bad_input_is_one_sentence(argument: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    from stress.commands.cli import main

    assert main(["throughput", argument]) == 2
    told = capsys.readouterr().err
    assert text in told
    assert len(told.splitlines()) == 1


@pytest.fixture(scope="module")
def other_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an interpreter under another name: what `--against` starts is not this one."""
    path = tmp_path_factory.mktemp("other") / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return path


def test_threads_processes_batching_and_another_build(tmp_path: Path, other_python: Path) -> None:
    done = throughput(
        tmp_path,
        "--device=cpu",
        "--threads=2",
        "--workloads=layer-norm,transformer",
        "--seconds=9",
        f"--against={other_python}",
    )
    assert done.returncode == 0, done.stderr
    for name in ("one thread", "one thread, other build", "threads", "processes", "batching"):
        assert sum(line.startswith(f"{name} ") for line in done.stdout.splitlines()) >= 2, name
    assert "all as in the sequential run" in done.stdout
    found = records(tmp_path)
    run = found[0]
    assert run["command"] == "throughput"
    assert run["against"]["version"] == run["torch"]["version"]
    measurements = [one for one in found if one["kind"] == "measurement"]
    assert {(one["build"], one["way"], one["count"]) for one in measurements} == {
        ("this", "threads", 1), ("other", "threads", 1), ("this", "threads", 2), ("this", "processes", 2), ("this", "batching", 2),
    }  # fmt: skip
    assert all(one["requests"] > 0 and one["rate_per_s"] > 0 for one in measurements)
    left = {path.suffix for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    assert left == {".jsonl"}, "nothing but the record stays of windows that were right"


@LINUX
def test_a_wrong_answer_voids_the_number(tmp_path: Path) -> None:
    done = throughput(
        tmp_path,
        "--device=sim",
        "--threads=4",
        "--workloads=layer-norm",
        "--ways=threads",
        "--seconds=2",
        "--sim-faults=layer_norm_shared_statistics:1:3000",
        "--json",
    )
    assert done.returncode == 1, done.stderr
    data = json.loads(done.stdout)
    (alone, threads) = data["cells"]
    assert data["simulated"] is True
    assert alone["void"] is None, "the fault needs two threads"
    assert re.search("MISMATCH|UNKEPT", threads["void"])  # the value, or the order that it follows from
    assert threads["rate_per_s"] is None
    assert not [one for one in records(tmp_path) if one["kind"] == "measurement" and one["count"] == 4]


ABORTS = """\
import os, threading
_start = threading.Thread.start


def start(self):
    if threading.active_count() > 6:  # the seventh of a window's eight threads
        os.abort()
    _start(self)


threading.Thread.start = start
"""


def test_a_crash_is_a_line_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(ABORTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = throughput(tmp_path, "--device=cpu", "--threads=8", "--workloads=layer-norm", "--seconds=1")
    assert done.returncode == 1, done.stderr
    assert "1 of 4 numbers are VOID" in done.stdout
    assert "VOID: throughput::this::layer-norm::threads-8" in done.stdout
    assert "CRASH SIGABRT" in done.stdout
    for name in ("one thread", "processes", "batching"):
        assert any(line.startswith(f"{name} ") and "VOID" not in line for line in done.stdout.splitlines())


@LINUX
def test_two_builds_cannot_be_compared_on_the_simulated_device(tmp_path: Path, other_python: Path) -> None:
    done = throughput(tmp_path, "--device=sim", f"--against={other_python}")
    assert done.returncode == 2
    assert "choose another device, as in --device=cpu" in done.stderr


def test_processes_that_cannot_be_forked_are_spawned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MPS_STRESS_START_METHOD", "spawn")
    done = throughput(
        tmp_path, "--device=cpu", "--threads=2", "--workloads=linear", "--ways=processes", "--seconds=1"
    )
    assert done.returncode == 0, done.stderr
    assert [one["count"] for one in records(tmp_path) if one["kind"] == "measurement"]
