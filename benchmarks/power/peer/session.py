"""Runs pytest-run-parallel as a user would, in a process per session, until the same rule ends it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path

from benchmarks.power.peer import job
from benchmarks.power.peer.job import Case
from benchmarks.power.peer.job import Job
from benchmarks.power.peer.tally import PeerTally
from benchmarks.power.peer.tally import SessionResult
from stress.commands import CommandError
from stress.commands.power.entry_runner import Simulator
from stress.commands.power.estimate import StopRule
from stress.commands.power.runnable import Runnable
from stress.commands.power.subject import Subject
from stress.model import seeds
from stress.model.verdict import Verdict

ITERATIONS = 20
"""Per thread and test: about what the scenarios themselves do."""
TESTS_MIN = 40
"""A session has every test so often that there are this many, and the start of its process weighs less."""
TEST_TIMEOUT_S = 5
"""Of pytest-timeout, per test. Shorter than anybody would choose, in the peer's favour: a hang costs all of it."""
SESSION_S_MAX = 300.0
CALIBRATIONS = 2
"""Fault-free sessions per design that tell which scenarios can be written as tests of this kind at all."""
_TESTS = Path(__file__).with_name("test_scenarios.py")
_ROOT = Path(__file__).resolve().parents[3]
_MODULES = ("pytest_run_parallel", "pytest_timeout")


@dataclass
class Peer:
    """pytest-run-parallel over the scenarios of the allocation."""

    simulator: Simulator | None
    threads: int
    seed: int
    folder: Path
    name: str = "pytest-run-parallel"
    _cases: dict[str, tuple[Case, ...]] = field(default_factory=dict)
    """Design -> what runs without a failure there while no fault is armed."""
    _sessions: int = 0

    def calibrate(self, design: str, entries: Sequence[Runnable]) -> list[str]:
        """Find out what runs clean without any fault; return what is not compared, or left out, and why."""
        if any(importlib.util.find_spec(one) is None for one in _MODULES):
            raise CommandError(f"{self.name} is not installed: pip install {self.name} pytest-timeout")
        cases = {case_name(one): one.ref for one in entries if not one.is_process}
        left = {name: Case(name, ref) for name, ref in cases.items()}
        notes = []
        for number in range(CALIBRATIONS):
            while True:
                lines, result = self._session(Subject(design), tuple(left.values()), number)
                failed = [one for one in lines if one.get("failed")]
                if not failed and not result.failures:
                    break
                if not failed:
                    raise CommandError(
                        f"{self.name}: without any fault its session fails: {result.text[-1000:]}"
                    )
                texts = {line["test"]: line["text"] for line in failed}
                notes += [self._relax(left, name, text) for name, text in texts.items()]
        self._cases[design] = tuple(left.values())
        return notes

    @staticmethod
    def _relax(left: dict[str, Case], name: str, text: str) -> str:
        """Run a test that fails without a fault without its comparison, and leave it out if that does not help."""
        first = text.partition("\n")[0]
        if left[name].compares:
            left[name] = replace(left[name], compares=False)
            return f"{name}: not compared ({first})"
        del left[name]
        return f"{name}: left out ({first})"

    def watch(
        self, subject: Subject, rule: StopRule, time_is_up: Callable[[], bool], entries: Sequence[Runnable]
    ) -> PeerTally:
        """Run sessions with the fault armed until the rule ends it; each in another order of its tests.

        They have the tests of the entries that our side attempts: neither side knows more of the fault than
        the other. Where none of these can be a test, all others are tried.
        """
        tally = PeerTally(subject)
        wanted = {case_name(one) for one in entries}
        all_cases = self._cases[subject.design]
        cases = [one for one in all_cases if one.name in wanted] or list(all_cases)
        cases *= -(-TESTS_MIN // len(cases))
        while not rule.ends(tally.rate):
            if time_is_up():
                tally.cut_short = True
                break
            draw = random.Random(seeds.derive(self.seed, "peer", subject.label, tally.sessions))
            draw.shuffle(cases)
            _, result = self._session(subject, tuple(cases), tally.sessions)
            tally.add(result)
        return tally

    def _session(
        self, subject: Subject, cases: tuple[Case, ...], number: int
    ) -> tuple[list[dict[str, str]], SessionResult]:
        self._sessions += 1
        stem = self.folder / f"peer-{self._sessions}"
        report, output = stem.with_suffix(".report"), stem.with_suffix(".output")
        sim = self.simulator.spec(subject) if self.simulator is not None else None
        seed = seeds.derive(self.seed, "peer-session", subject.label, number)
        given = Job(cases, self.threads, seed, sim, str(report))
        given.dump(stem.with_suffix(".job"))
        report.touch()
        try:
            code, seconds = self._run(stem.with_suffix(".job"), output)
            lines = [json.loads(line) for line in report.read_text().splitlines()]
            text = output.read_text(errors="replace")
        finally:
            for suffix in (".job", ".report", ".output"):
                stem.with_suffix(suffix).unlink(missing_ok=True)
        return lines, result_of(code, lines, seconds, text)

    def _run(self, job_path: Path, output: Path) -> tuple[int, float]:
        """Return (exit status as subprocess has it, wall seconds)."""
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "--tb=line",
            "-c",
            os.devnull,
            f"--rootdir={_TESTS.parent}",
        ]
        for plugin in ("no:cacheprovider", *(f"{one}.plugin" for one in _MODULES[:1]), "pytest_timeout"):
            command += ["-p", plugin]
        command += ["-p", "benchmarks.power.peer.plugin", f"--parallel-threads={self.threads}"]
        command += [
            f"--iterations={ITERATIONS}",
            f"--timeout={TEST_TIMEOUT_S}",
            "--timeout-method=thread",
            str(_TESTS),
        ]
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        variables = {**os.environ, job.JOB_VARIABLE: str(job_path), "PYTHONPATH": path}
        variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        started = time.monotonic()
        with output.open("wb") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=variables,
                cwd=self.folder,
                process_group=0,
            )
            try:
                process.wait(SESSION_S_MAX)
            except subprocess.TimeoutExpired:
                pass
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return process.returncode, time.monotonic() - started


def case_name(what: Runnable) -> str:
    """Return the name of the test: entries that differ in threads or perturbation are the same one."""
    return f"{what.entry.scenario}[{'-'.join(value for _, value in what.entry.params)}]"


def result_of(code: int, lines: Sequence[dict[str, object]], seconds: float, text: str) -> SessionResult:
    """Return what a session found: a verdict per failing test, and one for how the process ended."""
    failures = [
        Verdict.MISMATCH if line["wrong_value"] else Verdict.RACE for line in lines if line.get("failed")
    ]
    first = next((str(line["text"]) for line in lines if line.get("failed")), "")
    finished = any(line.get("finished") for line in lines)
    if not finished:
        # pytest-timeout ends the process itself; our own limit for a session is a hang as well.
        timed_out = "+ Timeout +" in text or (code == -signal.SIGKILL and seconds >= SESSION_S_MAX)
        failures.append(Verdict.HANG if timed_out else Verdict.CRASH)
    elif code < 0:
        failures.append(Verdict.CRASH)
    tests = sum("test" in line for line in lines)
    return SessionResult(tuple(failures), tests, seconds, first or text[-2000:])
