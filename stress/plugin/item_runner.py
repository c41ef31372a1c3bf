"""Run one item from its references to its verdict: the parent's side, which never touches the device."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from stress.child import perturb
from stress.child import tasks
from stress.device import operator_patch
from stress.isolate.attempt import Attempt
from stress.isolate.attempt_runner import AttemptRunner
from stress.isolate.attempt_runner import remove_references
from stress.isolate.backend import IsolationError
from stress.isolate.supervisor import ChildRun
from stress.model import seeds
from stress.model.plan import Plan
from stress.model.spec import READBACKS
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from stress.model.verdict import Verdict
from stress.model.verdict import worst
from stress.plugin.item import ItemResult
from stress.plugin.item import ItemSpec
from stress.plugin.item import Turn
from stress.plugin.item import command_line
from stress.plugin.run import Run
from stress.record.writer import serial_of
from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import overrides
from stress.scenario.scenario import waves_of

HANGS_MAX = 2
"""An item stops after this many hangs: each costs a whole deadline."""
REFERENCE_DEADLINE_FACTOR = 2.0


class ItemRunner:
    """Runs one item in a `Run`."""

    def __init__(self, run: Run, spec: ItemSpec, turn: Turn | None = None) -> None:
        self.run, self.spec, self.turn = run, spec, turn
        self.settings = turn.settings if turn is not None else run.settings
        self.seed = seeds.derive(self.settings.seed, spec.key)
        self.is_process = isinstance(spec.scenario, ProcessScenario)
        self.attempts = self.settings.attempts_of(spec.scenario)
        self.command = command_line(run, spec)
        self._runner = AttemptRunner(
            self._isolated if run.settings.isolation else self._inline, run.record, self._classify
        )
        self._sys_path = (*_package_root(spec.ref), *sys.path)

    def execute(self) -> ItemResult:
        """Return the item's result; raise nothing for what its children do."""
        started = time.monotonic()
        result = ItemResult(self.spec, Verdict.PASS, "", planned=self.attempts, command=self.command)
        try:
            self._execute(result, started)
        except IsolationError as error:
            self._cut_short(result, Verdict.BROKEN, f"no child process can be started: {error}")
        except OSError as error:
            text = f"cannot write the attempt's files in {self.run.folder_path}: {error.strerror or error}"
            self._cut_short(result, Verdict.INCONCLUSIVE, text)
        result.notes += [f"a crash report cannot be read: {text}" for text in self._runner.unreadable_reports]
        result.seconds = time.monotonic() - started
        self._record_item(result)
        return result

    def _cut_short(self, result: ItemResult, verdict: Verdict, text: str) -> None:
        """End the item; what its attempts have already found about the device outweighs why it ended."""
        if result.attempts:
            self._decide(result)
        if result.verdict.is_failure:
            result.notes.append(text)
        else:
            result.verdict, result.headline = verdict, text

    def _execute(self, result: ItemResult, started: float) -> None:
        limit_s = self.turn.share_s if self.turn is not None else None
        references: tuple[str, ...] = ()
        self._plan: Plan | None = None
        try:
            if not self.is_process:
                self._plan = self._make_plan()
                references = self._make_references(result)
                if result.reference is not None and not result.reference.judged.verdict.is_green:
                    result.verdict = result.reference.judged.verdict
                    result.headline = result.reference.judged.headline
                    return
            for number in range(self.attempts):
                spent_s = time.monotonic() - started
                if number == 1 and self.turn is None:
                    limit_s = self.run.budget.item_limit_s(spent_s)
                if number and limit_s is not None and spent_s >= limit_s:
                    result.notes.append(f"time budget: {number} of {self.attempts} attempts")
                    break
                result.attempts.append(self._attempt("crew", self._first("crew") + number, references))
                if sum(one.judged.verdict == Verdict.HANG for one in result.attempts) >= HANGS_MAX:
                    result.notes.append(f"stopped after {HANGS_MAX} hangs")
                    break
            self._decide(result)
            if result.failures and not self.spec.scenario.canary:
                self._run_controls(result, references)
        finally:
            remove_references(references)

    def _make_plan(self) -> Plan | None:
        """Return the plan, for the number of workers; None where the child must report what is wrong with it."""
        try:
            return Plan.make(waves_of(self.spec.scenario, self.settings.iterations), self.spec.scenario.batch)
        except Exception:
            return None

    def _make_references(self, result: ItemResult) -> tuple[str, ...]:
        """Run the reference children: one for the item's own environment, one more per kernel path."""
        paths = []
        own = [{}, *map(dict, self.spec.scenario.reference_envs)] if self.settings.isolation else [{}]
        for number, extra in enumerate(own):
            spec = self._child_spec("reference", number)
            spec = replace(
                spec,
                deadline_s=self.settings.deadline_s * REFERENCE_DEADLINE_FACTOR,
                env={**self.spec.env, **extra},
                device_only=bool(number),
            )
            attempt, run = self._run_child("reference", self._first("reference") + number, spec)
            paths.append(str(run.spec.file("reference")))
            if number == 0 or not attempt.judged.verdict.is_green:
                result.reference = attempt
            if not attempt.judged.verdict.is_green:
                break
            result.notes += [note for note in attempt.judged.notes if note not in result.notes]
        return tuple(paths)

    def _first(self, role: str) -> int:
        return self.turn.first.get(role, 0) if self.turn is not None else 0

    def _attempt(self, role: str, number: int, references: tuple[str, ...]) -> Attempt:
        spec = self._child_spec("process" if self.is_process else "crew", number)
        mode = "none" if self.is_process else perturb.mode_for(number, self.settings.perturb)
        spec = replace(
            spec,
            references=references,
            one_thread=role == "control",
            perturb_mode=mode,
            readback=READBACKS[(number + self.seed) % len(READBACKS)],
            env=self.spec.env,
        )
        return self._run_child(role, number, spec)[0]

    def _child_spec(self, kind: str, number: int) -> ChildSpec:
        settings, device = self.settings, self.run.device
        assert device is not None
        return ChildSpec(
            kind=kind,
            folder=str(self.run.folder_path),
            name=self.run.writer.side_stem(),
            device=device.name,
            scenario=self.spec.ref,
            threads=self.spec.threads,
            iterations=settings.iterations,
            seed=self.seed,
            attempt=number,
            streams=settings.streams,
            perturb_level=settings.perturb,
            trace_modules=settings.trace_modules,
            operators=operator_patch.texts(settings.operators),
            deadline_s=settings.deadline_s,
            sys_path=self._sys_path,
            cwd=os.getcwd(),
            sim=device.sim.spec if device.sim is not None else None,
        )

    def _run_child(self, role: str, number: int, spec: ChildSpec) -> tuple[Attempt, ChildRun]:
        identity = {"item": self.spec.nodeid, "role": role, "attempt": number}
        start = {
            "scenario": self.spec.ref.qualname,
            "params": dict(self.spec.params),
            "threads": self.spec.threads,
            "iterations": self.settings.iterations or getattr(self.spec.scenario, "iterations", 1),
            "seed": self.seed,
            "command": self._command_of(spec),
            "env": dict(spec.env),
            "perturb": spec.perturb_mode,
            "readback": spec.readback,
            **({"canary": True} if self.spec.scenario.canary else {}),
        }
        attempt, run, end = self._runner.run(spec, self._workers(spec), identity, start)
        if sys.platform == "darwin":  # where crash reports come late
            self.run.pids[run.pid] = (run.started, end)
        return attempt, run

    def _command_of(self, spec: ChildSpec) -> str:
        """Return the command that repeats the attempt: its item's command would begin with the item's first attempt."""
        if self.turn is None:
            return self.command
        return f"mps-stress replay {self.run.name}/{serial_of(spec.name)}"

    def _classify(self, end: Mapping[str, Any], stderr: str) -> str | None:
        named = self.run.config.hook.pytest_mps_classify(attempt=end, stderr=stderr)
        return None if named is None else str(named)

    def _workers(self, spec: ChildSpec) -> int:
        """Return how many slots the child's black box needs in addition to the main thread's."""
        return self._plan.workers if self._plan is not None and spec.kind == "crew" else 0

    def _isolated(self, spec: ChildSpec, workers: int) -> ChildRun:
        return self.run.supervisor.run(spec, workers)

    def _inline(self, spec: ChildSpec, workers: int) -> ChildRun:
        """Run in this process (`--mps-no-isolation`): a join deadline is the only protection."""
        from stress.model import blackbox

        blackbox.BlackBox.create(spec.file("blackbox"), workers)
        started, clock = time.time(), time.monotonic()
        data = tasks.result_of(spec, join_deadline_s=spec.deadline_s)
        run = ChildRun(spec, data, None, False, time.monotonic() - clock, started, os.getpid())
        run.snapshot = blackbox.read(spec.file("blackbox"))
        return run

    def _decide(self, result: ItemResult) -> None:
        """Set the item's verdict: the worst of its attempts, less what the scenario declares acceptable."""
        acceptable = self.spec.scenario.acceptable
        verdicts = []
        for one in result.attempts:
            verdict = one.judged.verdict
            if str(verdict) in acceptable:
                note = f"{verdict} is acceptable: {acceptable[str(verdict)]}"
                result.notes += [note] if note not in result.notes else []
                verdict = Verdict.PASS
            verdicts.append(verdict)
            result.notes += [note for note in one.judged.notes if note not in result.notes]
        result.verdict = worst(verdicts)
        if self.spec.scenario.canary:
            self._decide_canary(result)
        elif not result.verdict.is_green and result.first_failure is not None:
            result.headline = result.first_failure.judged.headline

    def _decide_canary(self, result: ItemResult) -> None:
        if result.verdict.is_failure:
            first = result.first_failure
            result.notes.insert(0, f"canary found: {first.judged.headline if first is not None else ''}")
            result.verdict = Verdict.PASS
        elif result.verdict.is_green:
            result.verdict = Verdict.INCONCLUSIVE
            result.headline = (
                f"canary not found in {len(result.attempts)} attempts: the planted fault was not detected, so the "
                "green results of this run are worth nothing"
            )
        elif result.first_failure is not None:
            result.headline = result.first_failure.judged.headline

    def _run_controls(self, result: ItemResult, references: tuple[str, ...]) -> None:
        """Run as many one-thread attempts of equal total work: the failure should need the threads."""
        if self.is_process or overrides(self.spec.scenario, "reference"):
            result.no_control = (
                "a process scenario has no threads" if self.is_process else "its roles wait for each other"
            )
            return
        if self.spec.threads == 1:
            result.no_control = "one thread already"
            return
        if self.run.budget.is_spent:
            result.no_control = "the time budget is spent"
            return
        for number in range(len(result.attempts)):
            result.controls.append(self._attempt("control", self._first("control") + number, references))
            if result.controls[-1].judged.verdict == Verdict.HANG:
                break

    def _record_item(self, result: ItemResult) -> None:
        self.run.verdicts[str(result.verdict)] += 1
        counts = Counter(str(one.judged.verdict) for one in result.attempts)
        with contextlib.suppress(OSError):
            self.run.record(
                "item",
                item=self.spec.nodeid,
                verdict=str(result.verdict),
                seconds=result.seconds,
                attempts=len(result.attempts),
                counted=result.counted,
                failures=result.failures,
                verdicts=dict(counts),
                control_attempts=len(result.controls),
                control_failures=sum(one.judged.verdict.is_failure for one in result.controls),
                headline=result.headline,
                canary=bool(self.spec.scenario.canary),
                origin=[str(one) for one in self.spec.scenario.origin],
                acceptable={str(key): str(why) for key, why in self.spec.scenario.acceptable.items()},
                notes=result.notes,
            )


def _package_root(ref: ScenarioRef) -> list[str]:
    """Return the folder that makes the module's dotted name importable.

    Under `--import-mode=importlib` pytest does not put it on `sys.path`, and relative imports fail in the
    child without it.
    """
    root = Path(ref.path).parent
    for _ in ref.module.split(".")[1:]:
        root = root.parent
    return [str(root)] if str(root) not in sys.path else []
