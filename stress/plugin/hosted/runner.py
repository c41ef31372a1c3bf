"""Run one ordinary test from its run on one thread to its verdict: the parent's side, which does not import its file."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path

import pytest

from stress.device import operator_patch
from stress.isolate.attempt_runner import Ended
from stress.isolate.backend import IsolationError
from stress.isolate.case_runner import REFERENCE_DEADLINE_FACTOR
from stress.isolate.case_runner import CasePolicy
from stress.isolate.case_runner import CaseSpec
from stress.isolate.case_runner import References
from stress.isolate.case_runner import Rotation
from stress.model import seeds
from stress.model.spec import TEST_S
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from stress.model.spec import TestSpec
from stress.model.verdict import Verdict
from stress.plugin.hosted.collector import HostedTest
from stress.plugin.hosted.listed import CollectedFile
from stress.plugin.item import ItemResult
from stress.plugin.item import command_line
from stress.plugin.item_runner import RunOfItem
from stress.plugin.judged_item import NotGreen
from stress.plugin.ordinary.plugin import RAN_ONCE
from stress.plugin.ordinary.selection import ITERATIONS_DEFAULT
from stress.plugin.ordinary.threaded import PROPERTY_CALLS
from stress.plugin.ordinary.threaded import PROPERTY_OVERLAP
from stress.plugin.run import Run
from stress.plugin.run import run_of
from stress.plugin.terminal.block import failure_block
from stress.plugin.terminal.words import row_of
from stress.plugin.terminal.words import summary_of

STALL_S_MIN, STALL_FACTOR = 3.0, 4.0
"""No end of a call for so long, and every thread asleep: at least, and in runs of the test alone, which may sleep itself."""
SLOWER_FROM_THREADS, DEADLINES_MAX = 4.0, 10.0
"""What takes long alone gets longer than the deadline from threads: so many times as long as all calls one after another, and
at most so many deadlines. A deadlock shows by threads that sleep."""
CALLS_S_MAX = pytest.StashKey[float]()
"""Tests whose calls would take longer, one after another, run alone only: for suites that would take hours."""
REPEATED = pytest.StashKey[int]()
"""Number of the attempt that all attempts repeat, with its lots: `mps-stress replay` sets it."""
ASK_DEADLINE_S = 600.0
"""For a file to be imported: some of PyTorch's own take half a minute on a busy machine."""


@dataclass(kw_only=True)
class HostedResult(ItemResult):
    """What became of an ordinary test."""

    alone: Mapping[str, str] = field(default_factory=dict)
    """How it ended on one thread: `outcome` in pytest's words, or "crash" or "hang"; and `reason`."""
    alone_s: float = 0.0
    """What it took then."""
    why_once: str = ""
    """Why it was not run from threads; empty where it was."""
    calls: int = 0
    """Of the test's function, by all threads in all attempts."""
    overlap: float = 0.0
    """Share of the calls that overlapped with another thread's."""

    @property
    def is_replayable(self) -> bool:
        return False  # its command runs all attempts again, with the same seeds

    @property
    def one_thread(self) -> bool:
        return bool(self.why_once) and self.verdict.is_green

    def record_fields(self) -> dict[str, object]:
        text = {"headline": self.alone["reason"]} if self.alone.get("reason") else {}
        return {**super().record_fields(), **text, "alone": self.alone.get("outcome", "")}

    def _judge_alone(self, ended: Ended) -> None:
        data = ended.run.result or {}
        self.alone_s = float(data.get("times", {}).get(TEST_S, ended.run.seconds))
        self.alone = data.get("alone", {})
        if ended.run.result is None or ended.run.hung:
            self.alone = {"outcome": "hang" if ended.run.hung else "crash"}
        elif not ended.attempt.judged.verdict.is_green:  # after the test, perhaps, which may have passed
            self.alone = {"outcome": "failed"}

    def add(self, ended: Ended) -> None:
        if ended.attempt.role == "reference":
            self._judge_alone(ended)
        data = ended.run.result or {}
        calls = int(data.get("iterations_done", 0))
        if ended.attempt.role == "crew" and calls:
            told = self.overlap * self.calls + float(data.get("overlap", 0.0)) * calls
            self.calls += calls
            self.overlap = told / self.calls


def ask(run: Run, file: Path) -> CollectedFile:
    """Return what a child collects from a file."""
    with tempfile.TemporaryDirectory(prefix="mps-stress-collect-", ignore_cleanup_errors=True) as folder:
        spec = replace(_child(run, file, ""), kind="probe", folder=folder, name="collect", cwd=os.getcwd())
        try:
            ended = run.supervisor.run(spec, 0)
        except (IsolationError, OSError) as error:
            return CollectedFile(problem=f"no child process can be started: {error}")
    if run.supervisor.hosted_problem and ended.result is not None:
        run.say(f"{file.name}: each process imports it again: {run.supervisor.hosted_problem}")
    if ended.result is not None and "listing" in ended.result:
        return CollectedFile.from_data(ended.result["listing"])
    how = (
        "it did not end" if ended.hung else f"it ended with {ended.exit.code if ended.exit else 'no status'}"
    )
    found = (ended.result or {}).get("findings") or [
        {"text": f"the child that imported it said nothing: {how}"}
    ]
    return CollectedFile(problem=f"{found[0]['text']}\n{ended.stderr[-4000:]}".rstrip())


def run_hosted(item: HostedTest) -> None:
    """Run the item; raise what pytest makes of it."""
    run = run_of(item.config)
    runner = _HostedRunner(run, item)
    result = runner.execute()
    outcome, reason = result.alone.get("outcome", ""), result.alone.get("reason", "")
    if outcome == "skipped":
        pytest.skip(reason)
    if outcome == "xfailed":
        pytest.xfail(reason)
    if runner.wants_threads or not result.verdict.is_green:
        item.take(row_of(result))
    else:
        item.stash[RAN_ONCE] = True
    if result.calls:
        item.user_properties += [(PROPERTY_CALLS, result.calls), (PROPERTY_OVERLAP, round(result.overlap, 3))]
    if not result.verdict.is_green:
        raise NotGreen(failure_block(result, run), summary_of(result))


class _HostedRunner(RunOfItem):
    def __init__(self, run: Run, item: HostedTest) -> None:
        super().__init__(run)
        self.item, self.settings = item, run.settings
        self.threads = item.listed.threads or max(run.settings.threads)
        self.iterations = item.listed.iterations or run.settings.iterations or ITERATIONS_DEFAULT
        self.wants_threads = item.listed.is_marked or run.settings.all_tests
        why_once = item.listed.why_once or ("one thread" if self.threads == 1 else "")
        assert run.device is not None
        self.result = HostedResult(
            item=item.nodeid,
            command=command_line(run, item.nodeid, self.threads, run.settings.attempts, ["--mps-all-tests"]),
            device=run.device.name,
            why_once=why_once if self.wants_threads else "not asked for",
        )
        if why_once and self.wants_threads:
            self.result.notes.append(f"not threaded: {why_once}")

    def execute(self) -> HostedResult:
        """Return the test's result; raise nothing for what its children do."""
        self.finish(self.result, self._run)
        return self.result

    def _run(self) -> None:
        result, case = self.result, self._case()
        references = self.cases.references(case)
        result.reference = references.shown
        if references.is_usable and result.alone.get("outcome") == "passed" and not result.why_once:
            all_s = self.threads * self.iterations * result.alone_s
            if all_s > self.run.config.stash.get(CALLS_S_MAX, math.inf):
                result.why_once = f"takes {result.alone_s:.1f} s alone"
                references.remove()
                return
            deadline_s = self.settings.deadline_s
            child = replace(
                case.child,
                stall_s=self._stall_s(),
                deadline_s=min(DEADLINES_MAX * deadline_s, max(deadline_s, SLOWER_FROM_THREADS * all_s)),
            )
            self.cases.run(replace(case, child=child), self._policy(), result, references)
            self._compare_with_control()
        else:
            self._take_reference(references)

    def _stall_s(self) -> float:
        """Return how long all threads may sleep at once: a deadlock need not cost a whole deadline, and twice.

        A real GPU may keep all of them waiting.
        """
        if self.result.device not in ("sim", "core", "cpu"):
            return 0.0
        return max(STALL_S_MIN, STALL_FACTOR * self.result.alone_s)

    def _take_reference(self, references: References) -> None:
        shown = references.shown
        assert shown is not None
        self.result.verdict, self.result.headline = shown.judged.verdict, shown.judged.headline

    def _compare_with_control(self) -> None:
        """A test that fails on one thread as often as it is called from threads shows no race: it cannot be repeated."""
        result = self.result
        alike = [one for one in result.controls if one.judged.verdict == result.verdict]
        if not alike or not result.verdict.is_failure:
            return
        told = f"fails on one thread, too, when it is called as often ({len(alike)} of {len(result.controls)} times)"
        for one in result.attempts:
            if one.judged.verdict.is_failure:
                self.cases.amend(one, Verdict.ERROR, f"{told}, so no race is shown: {one.judged.headline}")
        result.decide()

    def _case(self) -> CaseSpec:
        settings = self.settings
        seed = seeds.derive(settings.seed, self.item.nodeid)
        child = replace(
            _child(self.run, self.item.path, self.item.nodeid),
            threads=self.threads,
            iterations=self.iterations,
            seed=seed,
            shares_process=True,
            trace_modules=settings.trace_modules,
            trace_folders=(str(self.item.path.parent), *self.run.trace_folders),
            deadline_s=settings.deadline_s,
            order_suppressions=tuple(settings.order_suppressions),
        )
        return CaseSpec(
            item=self.item.nodeid,
            child=child,
            rotation=Rotation(
                settings.perturb,
                mode="none" if settings.perturb == "off" else "line",
                readback="every",
                completion="in_order",
                order=settings.order_level,
                order_all=settings.order == "all",
            ),
            reference_deadline_s=settings.deadline_s * REFERENCE_DEADLINE_FACTOR,
            command=lambda _: self.result.command,
            start={"params": {}, "iterations": self.iterations, "ordinary": True},
            workers=self.threads,
        )

    def _policy(self) -> CasePolicy:
        attempts = self.settings.attempts
        budget = self.run.budget
        return CasePolicy(
            attempts,
            attempts_clean=attempts,
            limit_s=budget.item_limit_s,
            no_control=lambda: "the time budget is spent" if budget.is_spent else "",
            is_spent=lambda: budget.is_spent,
            like=self.run.config.stash.get(REPEATED, None),
        )

    def see(self, ended: Ended) -> None:
        self.result.add(ended)
        super().see(ended)


def _child(run: Run, file: Path, nodeid: str) -> ChildSpec:
    device, config = run.device, run.config
    assert device is not None
    name = nodeid.partition("::")[2] or file.name
    return ChildSpec(
        "crew",
        device=device.name,
        scenario=ScenarioRef(str(file), "", name, ()),
        test=TestSpec(str(file), str(config.rootpath), nodeid, run.options_for_child),
        operators=operator_patch.texts(run.settings.operators),
        deadline_s=ASK_DEADLINE_S,
        shares_process=True,
        sys_path=tuple(sys.path),
        sim=device.sim_spec,
        core=device.core_spec,
    )
