"""Run one item from its references to its verdict: the parent's side, which never touches the device."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stress.child import tasks
from stress.device import operator_patch
from stress.isolate.attempt_runner import Ended
from stress.isolate.backend import IsolationError
from stress.isolate.case_runner import REFERENCE_DEADLINE_FACTOR
from stress.isolate.case_runner import CasePolicy
from stress.isolate.case_runner import CaseRunner
from stress.isolate.case_runner import CaseSpec
from stress.isolate.case_runner import References
from stress.isolate.case_runner import Rotation
from stress.isolate.supervisor import ChildRun
from stress.model import seeds
from stress.model import system
from stress.model.plan import Plan
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from stress.model.verdict import Verdict
from stress.plugin.failed_first import RecordedFailure
from stress.plugin.item import ItemResult
from stress.plugin.item import ItemSpec
from stress.plugin.item import ScenarioResult
from stress.plugin.item import Turn
from stress.plugin.run import Run
from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import overrides
from stress.scenario.scenario import shares_process
from stress.scenario.scenario import waves_of


class RunOfItem:
    """What running an item has in common, whether children run a scenario or an ordinary test."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.cases = CaseRunner(
            run.supervisor.run if run.settings.isolation else _run_inline,
            run.writer,
            run.record,
            classify=self._classify,
            on_end=self.see,
        )

    def finish(self, result: ItemResult, work: Callable[[], object]) -> None:
        """Let `work` fill the result, and record it; raise nothing for what children do."""
        started = time.monotonic()
        try:
            work()
        except IsolationError as error:
            _cut_short(result, Verdict.BROKEN, f"no child process can be started: {error}")
        except OSError as error:
            text = f"cannot write the attempt's files in {self.run.folder_path}: {error.strerror or error}"
            _cut_short(result, Verdict.INCONCLUSIVE, text)
        result.notes += [f"a crash report cannot be read: {text}" for text in self.cases.unreadable_reports]
        result.seconds = time.monotonic() - started
        self.run.verdicts[str(result.verdict)] += 1
        with contextlib.suppress(OSError):
            self.cases.record_item(result)

    def see(self, ended: Ended) -> None:
        """Look at each child when it has ended."""
        if system.is_macos():  # where crash reports come late
            self.run.pids[ended.run.pid] = (ended.run.started, ended.end)

    def _classify(self, end: Mapping[str, Any], stderr: str) -> str | None:
        named = self.run.config.hook.pytest_mps_classify(attempt=end, stderr=stderr)
        return None if named is None else str(named)


class ItemRunner(RunOfItem):
    """Runs one item of a scenario."""

    def __init__(
        self,
        run: Run,
        spec: ItemSpec,
        turn: Turn | None = None,
        *,
        failures: Sequence[RecordedFailure] = (),
    ) -> None:
        """`failures` of earlier runs are run again before the item's own attempts."""
        super().__init__(run)
        self.spec, self.turn, self._failures = spec, turn, failures
        self._references_made = 0
        self.settings = turn.settings if turn is not None else run.settings
        self.command = spec.command(run)
        self._is_process = isinstance(spec.scenario, ProcessScenario)

    def execute(self) -> ScenarioResult:
        """Return the item's result; raise nothing for what its children do."""
        result = ScenarioResult(
            item=self.spec.nodeid, command=self.command, device=self.spec.scenario.device_type, spec=self.spec
        )
        self.finish(result, lambda: self._run(result))
        return result

    def _run(self, result: ScenarioResult) -> None:
        self._run_recorded(result)
        self.cases.run(self._case(), self._policy(), result)

    def _run_recorded(self, result: ScenarioResult) -> None:
        """Run each recorded failure once, with the seed and the schedule that it had, in a process of its own."""
        for number, one in enumerate(self._failures):
            if self.run.budget.is_spent:
                return
            case = self._case()
            level = {} if one.perturb_level == self.settings.perturb else {"perturb_level": one.perturb_level}
            case = replace(
                case,
                child=replace(case.child, seed=one.seed),
                rotation=replace(
                    case.rotation,
                    level=one.perturb_level,
                    mode=one.perturb,
                    readback=one.readback,
                    completion=one.completion,
                ),
            )
            references = References()
            if not self._is_process:
                references = self.cases.references(case, number=self._references_made)
                self._references_made += max(1, len(references.paths))
            try:
                if references.is_usable:
                    case = replace(case, start={**case.start, "repeats": one.name, **level})
                    ended = self.cases.attempt(case, number, references, role="fresh", like=one.attempt)
                    result.recorded.append(ended.attempt)
                else:
                    result.notes.append(f"recorded failure {one.name}: {references.problem}")
            finally:
                references.remove()

    def _case(self) -> CaseSpec:
        settings, device, scenario, item = self.settings, self.run.device, self.spec.scenario, self.spec
        assert device is not None
        seed = seeds.derive(settings.seed, item.key)
        return CaseSpec(
            item=item.nodeid,
            child=ChildSpec(
                "process" if self._is_process else "crew",
                device=device.name,
                scenario=item.ref,
                threads=item.threads,
                iterations=settings.iterations,
                seed=seed,
                shares_process=shares_process(scenario),
                streams=settings.streams,
                trace_modules=settings.trace_modules,
                trace_folders=self.run.trace_folders,
                order_suppressions=(*settings.order_suppressions, *scenario.unordered),
                operators=operator_patch.texts(settings.operators),
                deadline_s=settings.deadline_s,
                sys_path=(*_package_root(item.ref), *sys.path),
                env=item.env,
                sim=device.sim_spec,
                core=device.core_spec,
            ),
            rotation=Rotation(
                settings.perturb,
                mode="none" if self._is_process else "",
                readback_first=seed,
                completion_first=seeds.derive(seed, "completion"),
                order=settings.order_level,
                order_all=settings.order == "all",
            ),
            reference_deadline_s=settings.deadline_s * REFERENCE_DEADLINE_FACTOR,
            command=self._command_of,
            start={
                "params": dict(item.params),
                "iterations": settings.iterations or getattr(scenario, "iterations", 1),
                **({"canary": True} if scenario.canary else {}),
            },
            workers=self._workers(),
            reference_envs=()
            if self._is_process or not settings.isolation
            else tuple(scenario.reference_envs),
        )

    def _policy(self) -> CasePolicy:
        attempts, turn = self.settings.attempts_of(self.spec.scenario), self.turn
        return CasePolicy(
            attempts,
            attempts_clean=attempts,
            limit_s=self.run.budget.item_limit_s if turn is None else lambda _first_s, _rest_s: turn.share_s,
            no_control=self._no_control,
            is_spent=lambda: self.run.budget.is_spent,
            first=turn.first
            if turn is not None
            else {"reference": self._references_made, "fresh": len(self._failures)},
        )

    def _no_control(self) -> str:
        if self._is_process:
            return "a process scenario"
        if overrides(self.spec.scenario, "reference"):
            return "its roles wait for each other"
        if self.spec.threads == 1:
            return "one thread already"
        return "the time budget is spent" if self.run.budget.is_spent else ""

    def _workers(self) -> int:
        """Return how many slots the child's black box needs in addition to the main thread's."""
        if self._is_process:
            return 0
        try:
            waves = waves_of(self.spec.scenario, self.settings.iterations)
            return Plan.make(waves).workers
        except Exception:  # the child says what is wrong with the plan
            return 0

    def _command_of(self, serial: int) -> str:
        """Return the command that repeats the attempt: its item's command would begin with the item's first attempt."""
        return self.command if self.turn is None else self.run.replay_command(serial)


def _cut_short(result: ItemResult, verdict: Verdict, text: str) -> None:
    """End the item; what its attempts have already found about the device outweighs why it ended."""
    if result.attempts:
        result.decide()
    if result.verdict.is_failure:
        result.notes.append(text)
    else:
        result.verdict, result.headline = verdict, text


def _run_inline(spec: ChildSpec, workers: int) -> ChildRun:
    """Run in this process (`--mps-no-isolation`): a join deadline is the only protection."""
    from stress.model import blackbox

    blackbox.BlackBox.create(spec.file("blackbox"), workers)
    started, clock = time.time(), time.monotonic()
    data = tasks.result_of(spec, join_deadline_s=spec.deadline_s)
    run = ChildRun(spec, data, None, False, time.monotonic() - clock, started, os.getpid())
    run.snapshot = blackbox.read(spec.file("blackbox"))
    return run


def _package_root(ref: ScenarioRef) -> list[str]:
    """Return the folder that makes the module's dotted name importable.

    Under `--import-mode=importlib` pytest does not put it on `sys.path`, and relative imports fail in the
    child without it.
    """
    root = Path(ref.path).parent
    for _ in ref.module.split(".")[1:]:
        root = root.parent
    return [str(root)] if str(root) not in sys.path else []
