"""A deadlock is seen before the deadline; a child that works, or is only waiting its turn, is left alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress.isolate.judgement import judge
from stress.isolate.stall import StallWatch
from stress.isolate.supervisor import ChildRun
from stress.isolate.supervisor import Supervisor
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from stress.model.verdict import Verdict

SUBJECT = """
import subprocess, sys, threading, time
import torch
from stress import Scenario


class _Base(Scenario):
    iterations = 1

    def make_input(self, generator):
        return torch.randn(4, generator=generator)

    def reference(self, device, inputs):
        return [[x + 1 for x in of_thread] for of_thread in inputs]


class Deadlock(_Base):
    def setup(self, device):
        return threading.Lock(), threading.Lock(), threading.Barrier(2)

    def step(self, state, x):
        first, second, both = state
        if threading.current_thread() is not threading.main_thread() and self.threads == 2:
            mine, other = (first, second) if first.acquire(blocking=False) else (second, first)
            if mine is second:
                second.acquire()
            both.wait()
            other.acquire()
        return x + 1


class Busy(_Base):
    def step(self, state, x):
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            y = x + 1
        return y


class WaitsForABusyChild(_Base):
    def step(self, state, x):
        code = "import time\\nend = time.monotonic() + 2.0\\nwhile time.monotonic() < end: pass"
        subprocess.run([sys.executable, "-c", code], check=True)
        return x + 1
"""
STALL_S = 0.6

pytestmark = pytest.mark.skipif(not StallWatch.works(), reason="this system does not tell what threads do")


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    one = Supervisor()
    yield one
    one.close()


def attempt(supervisor: Supervisor, folder: Path, name: str) -> ChildRun:
    path = folder / "stalls.py"
    path.write_text(SUBJECT)

    def run(kind: str, references: tuple[str, ...] = ()) -> ChildRun:
        spec = ChildSpec(
            kind,
            str(folder),
            kind,
            "cpu",
            ScenarioRef(str(path), "stalls", name, ()),
            threads=2,
            references=references,
            deadline_s=60.0,
            stall_s=STALL_S,
            sys_path=tuple(sys.path),
        )
        return supervisor.run(spec, 2)

    reference = run("reference")
    assert judge(reference).verdict == Verdict.PASS
    return run("crew", (str(folder / "reference.reference"),))


class TestStalls:
    def test_a_deadlock_is_a_hang_long_before_the_deadline(
        self, supervisor: Supervisor, tmp_path: Path
    ) -> None:
        run = attempt(supervisor, tmp_path, "Deadlock")
        assert run.stalled
        judged = judge(run)
        assert judged.verdict == Verdict.HANG
        assert judged.headline.startswith("every thread asleep for 0.6 s (stage crew")
        assert "acquire" in run.stacks or "stalls.py" in run.stacks

    @pytest.mark.parametrize("name", ["Busy", "WaitsForABusyChild"])
    def test_work_is_no_stall(self, supervisor: Supervisor, tmp_path: Path, name: str) -> None:
        run = attempt(supervisor, tmp_path, name)
        assert not run.stalled
        assert judge(run).verdict == Verdict.PASS

    def test_a_process_that_is_gone_is_none(self, tmp_path: Path) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        (tmp_path / "box").touch()
        watch = StallWatch(ended.pid, tmp_path / "box", 0.0)
        assert not watch.is_stalled()
        assert not watch.is_stalled()
