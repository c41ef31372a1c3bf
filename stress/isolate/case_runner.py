"""Runs a case: its references, its crews, the one-thread control, each in its own child and on record.

Five callers run cases. Common to all: references come first, from sibling processes, one for each kernel path of the
scenario, and serve every crew; a start record is on disk before its child exists; the children of a case differ in
role, number and in how they are disturbed, and in nothing else. All of that is here.

What differs is data, in `CaseSpec` (what runs), `Rotation` (how it is disturbed), `CasePolicy` (how often) and
`stress.isolate.pace` (how long), because the callers ask different questions:

- an item (`stress.plugin.item_runner`) asks how often something fails: a number of attempts within a budget, modes,
  readbacks and completions in turn, the last two from a place that follows from the seed, so that one attempt each covers
  all of them;
- a sweep (`stress.commands.sweep.operator_runner`) asks a thousand operators once: more attempts only of one that has
  failed, and modes that begin at another place for each operator, since most have one attempt;
- a repetition (`stress.commands.replay.repetition`) has one recorded set of conditions, and numbers its attempts through
  whatever it runs; references are kept as long as the configuration is the same; the pace bounds what a hang costs;
- an entry of the power benchmark (`stress.commands.power.entry_runner`) is attempted in turn with other entries; inputs
  are the entry's, seeds of schedules and faults those of (subject, attempt), and the pace is the entry's;
- a window of `stress.commands.throughput.window_runner` is undisturbed, long, and shuffled among those of other cells.

The last three decide attempt by attempt what runs next, and call `references` and `attempt`; `run` is for the others.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from stress.child import perturb
from stress.isolate.attempt import Attempt
from stress.isolate.attempt_runner import AttemptRunner
from stress.isolate.attempt_runner import Classifier
from stress.isolate.attempt_runner import Ended
from stress.isolate.attempt_runner import Recorder
from stress.isolate.attempt_runner import remove_references
from stress.isolate.judged_case import JudgedCase
from stress.isolate.supervisor import ChildRun
from stress.model.spec import COMPLETIONS
from stress.model.spec import HANGS_MAX
from stress.model.spec import READBACKS
from stress.model.spec import ChildSpec
from stress.model.text import count
from stress.model.verdict import Verdict
from stress.record import RecordWriter
from stress.record.writer import serial_of

REFERENCE_DEADLINE_FACTOR = 2.0
"""A reference runs everything several times in a row, where a crew runs it at once."""
_CONTROL_HANGS_MAX = 1


@dataclass(frozen=True)
class Rotation:
    """How attempts are disturbed, when they are read back, and when a core's Metal completes: in turn, unless given."""

    level: str
    mode: str = ""
    readback: str = ""
    completion: str = ""
    mode_first: int = 0
    readback_first: int = 0
    completion_first: int = 0
    """Where attempt 0 stands in the turn."""
    order: str = ""
    """Level at which attempts check the order of accesses; empty for none that does."""
    order_all: bool = False
    """Every attempt does, not only attempt 0: the checker makes operators slow, and needs no luck."""

    def apply(self, spec: ChildSpec, number: int) -> ChildSpec:
        return replace(
            spec,
            perturb_level=self.level,
            perturb_mode=self.mode or perturb.mode_for(self.mode_first + number, self.level),
            readback=self.readback or READBACKS[(self.readback_first + number) % len(READBACKS)],
            completion=self._completion(number) if spec.core is not None else spec.completion,
            order=self.order if spec.kind in ("crew", "process") and (self.order_all or number == 0) else "",
        )

    def _completion(self, number: int) -> str:
        # One place further after each turn: otherwise every completion would always meet the same readback.
        turn = self.completion_first + number + number // len(COMPLETIONS)
        return self.completion or COMPLETIONS[turn % len(COMPLETIONS)]


@dataclass(frozen=True, kw_only=True)
class CaseSpec:
    """What runs, and how the records name it."""

    item: str
    child: ChildSpec
    """The spec of all attempts: `kind` is theirs. Folder and name are given when a child is started."""
    rotation: Rotation
    reference_deadline_s: float
    command: Callable[[int], str]
    """Serial of a child -> command line that repeats it."""
    start: Mapping[str, object]
    """What a start record says beside the common: `params`, `iterations`, and what the caller alone knows."""
    names: Mapping[str, object] = field(default_factory=dict)
    """What start and end record carry beside item, role and attempt."""
    workers: int = 0
    """Slots of a crew's black box beside the main thread's."""
    reference_envs: tuple[Mapping[str, str], ...] = ()
    """Further kernel paths: references are made once for each."""


@dataclass(frozen=True)
class CasePolicy:
    """How often a case is attempted."""

    attempts: int
    attempts_clean: int
    """It ends here if none has failed by then."""
    limit_s: Callable[[float, float], float | None] = lambda _first_s, _rest_s: None
    """Seconds of the first attempt with its references, and of all others if each takes as long -> those that the whole case
    may take; asked once."""
    no_control: Callable[[], str] = lambda: ""
    """Return why a failing case has no one-thread control; empty where it has one."""
    is_spent: Callable[[], bool] = lambda: False
    """Whether there is no time left for anything beyond the attempts."""
    first: Mapping[str, int] = field(default_factory=dict)
    """Role -> number of its first attempt, where earlier ones of the run had the same item."""
    like: int | None = None
    """Number of the attempt whose lots and disturbance all have, where one is repeated."""


@dataclass(frozen=True)
class References:
    """What crews are compared with. Remove it when the last one is over."""

    paths: tuple[str, ...] = ()
    shown: Attempt | None = None
    """The attempt that is not green, which is the last then, else the first. None where the case needs no reference."""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def is_usable(self) -> bool:
        return self.shown is None or self.shown.judged.verdict.is_green

    @property
    def problem(self) -> str:
        """Return why nothing can be compared with it, or an empty text."""
        if self.shown is None or self.is_usable:
            return ""
        return f"no reference: {self.shown.judged.verdict}: {self.shown.judged.headline}"

    def remove(self) -> None:
        remove_references(self.paths)


class CaseRunner:
    """Runs cases one after another, in one run folder."""

    def __init__(
        self,
        run_child: Callable[[ChildSpec, int], ChildRun],
        writer: RecordWriter,
        record: Recorder,
        *,
        classify: Classifier | None = None,
        on_end: Callable[[Ended], object] = lambda _: None,
    ) -> None:
        """`writer` names children and their folder; `record` writes their records; `on_end` sees each child's end."""
        self._attempts = AttemptRunner(run_child, record, classify)
        self._writer, self._record, self._on_end = writer, record, on_end
        self._ends: dict[int, dict[str, Any]] = {}
        """Serial -> fields of the end record, of the crews of the case that runs."""

    @property
    def unreadable_reports(self) -> list[str]:
        return self._attempts.unreadable_reports

    def run(
        self, case: CaseSpec, policy: CasePolicy, result: JudgedCase, references: References | None = None
    ) -> None:
        """Run references, unless given, attempts and control into `result`.

        Raise `IsolationError` and `OSError` for the machine's faults.
        """
        started = time.monotonic()
        self._ends.clear()
        try:
            if references is None:
                is_process = case.child.kind == "process"
                number = policy.first.get("reference", 0)
                references = References() if is_process else self.references(case, number=number)
            result.reference = references.shown
            result.add_notes(references.notes)
            if references.shown is not None and not references.is_usable:
                result.verdict = references.shown.judged.verdict
                result.headline = references.shown.judged.headline
                return
            self._run_crews(case, policy, references, result)
            result.decide()
            if result.wants_fresh:
                self._run_fresh(case, policy, references, result)
            if result.wants_control:
                self._run_controls(case, policy, references, result)
        finally:
            if references is not None:
                references.remove()
            result.seconds = time.monotonic() - started

    def references(self, case: CaseSpec, *, number: int = 0, lots: int = 0) -> References:
        """Make the references that crews are compared with, in separate children; stop at the first that is not green."""
        started = time.monotonic()
        paths: list[str] = []
        made: list[Attempt] = []
        try:
            for index, extra in enumerate([{}, *case.reference_envs]):
                spec = replace(
                    case.child,
                    kind="reference",
                    attempt=lots + index,
                    deadline_s=case.reference_deadline_s,
                    stall_s=0.0,
                    shares_process=True,
                    env={**case.child.env, **extra},
                    device_only=bool(index),
                )
                ended = self._run_child(case, "reference", number + index, spec)
                paths.append(str(ended.run.spec.file("reference")))
                made.append(ended.attempt)
                if not ended.attempt.judged.verdict.is_green:
                    break
        except BaseException:
            remove_references(paths)
            raise
        shown = made[0] if made[-1].judged.verdict.is_green else made[-1]
        notes = tuple(note for one in made if one.judged.verdict.is_green for note in one.judged.notes)
        return References(tuple(paths), shown, notes, time.monotonic() - started)

    def attempt(
        self,
        case: CaseSpec,
        number: int,
        references: References,
        *,
        role: str = "crew",
        lots: int | None = None,
        like: int | None = None,
    ) -> Ended:
        """Run one attempt. `lots` is what the seeds of schedules and of planted faults follow from; the number by default.

        It is disturbed, and has lots, like the attempt with the number `like`, where that is given.
        """
        like = number if like is None else like
        spec = replace(
            case.rotation.apply(case.child, like),
            attempt=like if lots is None else lots,
            references=references.paths,
            one_thread=role == "control",
            # Controls of ordinary tests follow one another: each process of theirs has to collect the file first.
            shares_process=case.child.shares_process
            and (role == "crew" or (role == "control" and case.child.test is not None)),
        )
        return self._run_child(case, role, number, spec, {} if like == number else {"like": like})

    def record_item(self, result: JudgedCase) -> None:
        """Write what became of a case."""
        self._record("item", **result.record_fields())

    def _run_crews(
        self, case: CaseSpec, policy: CasePolicy, references: References, result: JudgedCase
    ) -> None:
        started = time.monotonic() - references.seconds
        first, limit_s = policy.first.get("crew", 0), None
        for number in range(policy.attempts):
            if number >= policy.attempts_clean and not result.failures:
                return
            spent_s = time.monotonic() - started
            if number == 1:
                limit_s = policy.limit_s(spent_s, (policy.attempts - 1) * result.attempts[0].seconds)
            if limit_s is not None and spent_s >= limit_s:
                result.notes.append(f"time budget: {number} of {policy.attempts} attempts")
                return
            ended = self.attempt(case, first + number, references, like=policy.like)
            result.attempts.append(ended.attempt)
            self._ends[ended.attempt.serial] = ended.end
            if _hangs(result.attempts) >= HANGS_MAX:
                result.notes.append(f"stopped after {HANGS_MAX} hangs")
                return

    def _run_fresh(
        self, case: CaseSpec, policy: CasePolicy, references: References, result: JudgedCase
    ) -> None:
        """Run failures again in fresh processes, as often as a control: what served others may have been damaged by them."""
        failed = [one for one in result.attempts if one.judged.verdict.is_failure]
        if policy.is_spent():
            result.notes.append("not run again in fresh processes: the time budget is spent")
            return
        first = policy.first.get("fresh", 0)
        for number in range(len(result.attempts)):
            like = failed[number % len(failed)].number
            ended = self.attempt(case, first + number, references, role="fresh", like=like)
            result.fresh.append(ended.attempt)
            if _hangs(result.fresh) >= _CONTROL_HANGS_MAX:
                break
        told = f"fresh processes: {result.fresh_failures} of {len(result.fresh)} failed"
        result.notes.append(told)
        if not result.fresh_failures:
            for one in failed:
                self._judge_aged(one, told)
            result.decide()

    def _judge_aged(self, attempt: Attempt, told: str) -> None:
        """Amend the end of an attempt whose failure never shows in a fresh process."""
        judged = attempt.judged
        headline = (
            f"only in a process that had served {count(len(attempt.before), 'attempt')}: it needs what came before "
            f"({told}): {judged.word}: {judged.headline}"
        )
        self.amend(attempt, Verdict.AGED, headline)

    def amend(self, attempt: Attempt, verdict: Verdict, headline: str) -> None:
        """Judge an attempt of the last case anew, by what later ones have shown; its record says what it was."""
        attempt.judged.verdict, attempt.judged.headline = verdict, headline
        end = self._ends[attempt.serial]
        self._record(
            "attempt_end",
            **{**end, "verdict": str(verdict), "was": end["verdict"], "headline": headline, "amends": True},
        )

    def _run_controls(
        self, case: CaseSpec, policy: CasePolicy, references: References, result: JudgedCase
    ) -> None:
        """Run as many one-thread attempts of equal total work: the failure should need the threads."""
        result.no_control = policy.no_control()
        first, wanted = policy.first.get("control", 0), 0 if result.no_control else len(result.attempts)
        for number in range(first, first + wanted):
            result.controls.append(self.attempt(case, number, references, role="control").attempt)
            if _hangs(result.controls) >= _CONTROL_HANGS_MAX:
                return

    def _run_child(
        self,
        case: CaseSpec,
        role: str,
        number: int,
        spec: ChildSpec,
        more: Mapping[str, object] = MappingProxyType({}),
    ) -> Ended:
        spec = replace(
            spec,
            folder=str(self._writer.folder.path),
            name=self._writer.side_stem(),
            sys_path=spec.sys_path or tuple(sys.path),
            cwd=os.getcwd(),
        )
        assert spec.scenario is not None
        start = {
            "scenario": spec.scenario.qualname,
            "threads": spec.threads,
            "seed": spec.seed,
            "command": case.command(serial_of(spec.name)),
            "env": dict(spec.env),
            "perturb": spec.perturb_mode,
            "readback": spec.readback,
            **({"completion": spec.completion} if spec.core is not None else {}),
            **({"order": spec.order} if spec.order else {}),
            **case.start,
            **more,
        }
        identity = {"item": case.item, "role": role, "attempt": number, **case.names}
        workers = case.workers if spec.kind == "crew" else 0
        ended = self._attempts.run(spec, workers, identity, start)
        self._on_end(ended)
        return ended


def _hangs(attempts: list[Attempt]) -> int:
    return sum(one.judged.verdict == Verdict.HANG for one in attempts)


def recorder(writer: RecordWriter, *, simulated: bool) -> Recorder:
    """Return what writes records, of which each says so where the device is simulated."""
    return functools.partial(writer.write, simulated=True) if simulated else writer.write
