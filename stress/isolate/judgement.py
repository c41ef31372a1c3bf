"""Judge one child in the parent: by how it ended, its result file, and its stderr."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace

from stress.child.process import EXIT_FRAMEWORK
from stress.diagnose import CrashReport
from stress.diagnose import Diagnosis
from stress.diagnose import diagnose
from stress.diagnose import match
from stress.isolate.child_process import SENT_BY_OTHERS
from stress.isolate.supervisor import ChildRun
from stress.model.blackbox import Stamp
from stress.model.finding import Finding
from stress.model.finding import broken
from stress.model.verdict import Verdict
from stress.model.verdict import severity
from stress.model.verdict import word_of
from stress.model.verdict import worst

INTERESTING_NOTE = "other kernel path"


@dataclass
class Judged:
    """The verdict of one child and the evidence for it."""

    verdict: Verdict
    headline: str
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    diagnosis: Diagnosis | None = None
    stamps: tuple[Stamp, ...] = ()

    @property
    def word(self) -> str:
        """Return the verdict as shown to a person, with the signal's name for a crash."""
        return word_of(self.verdict, signal=self.signal)

    @property
    def signal(self) -> str | None:
        """Return the name of the signal that ended the process."""
        return self.diagnosis.signal_name if self.diagnosis is not None else None


def judge(run: ChildRun, reports: Sequence[CrashReport] = ()) -> Judged:
    """Return the verdict of a crew's, control's or process scenario's child."""
    # Without isolation no process ends; there is only a result.
    code = run.exit.code if run.exit is not None else -int(signal.SIGKILL) if run.hung else 0
    body_finished = run.spec.kind == "process" and run.snapshot is not None and run.snapshot.body_finished
    diagnosis = diagnose(
        stderr=run.stderr,
        exit_status=code,
        reports=reports,
        stacks="\n".join((run.stacks, run.native_stacks)),
        hang=run.hung,
        body_finished=body_finished,
    )
    stamps = run.snapshot.stamps if run.snapshot is not None else ()
    data = run.result or {}
    findings = [Finding.from_data(one) for one in data.get("findings", [])]
    races = list(run.tsan.findings) if run.tsan is not None else []
    # The most severe first, here for everybody who shows only some of them: an exception among wrong values is why an
    # attempt is a RACE, and the values may be its consequence.
    findings = sorted([*races, *findings], key=lambda one: severity(Verdict(one.verdict)), reverse=True)
    diagnosis = _named_by_exceptions(diagnosis, findings)
    judged = Judged(Verdict.PASS, "", findings, list(data.get("notes", [])), diagnosis, stamps)
    ending = _ending(run, code, diagnosis)
    if ending is not None:
        judged.verdict, judged.headline = ending
    elif findings:
        judged.verdict = worst(Verdict(one.verdict) for one in findings)
        judged.headline = _headline(judged)
    elif diagnosis.taints:
        judged.verdict = Verdict.CRASH
        judged.headline = f"the process ended normally, but the device reported a fault: {diagnosis.headline}"
    elif reports:
        judged.verdict = Verdict.CRASH
        judged.headline = f"exit status 0, but macOS wrote a crash report: {reports[0].path.name}"
    elif any(note.startswith(INTERESTING_NOTE) for note in judged.notes):
        judged.verdict = Verdict.INTERESTING
    if races and judged.verdict != worst((judged.verdict, Verdict.RACE)):
        # However the process ended, what it reported before is true.
        judged.verdict = Verdict.RACE
        judged.headline = _headline(judged)
    if run.tsan is not None and run.tsan.problem and judged.verdict.is_green:
        judged.verdict, judged.headline = Verdict.INCONCLUSIVE, run.tsan.problem
    return judged


def _named_by_exceptions(diagnosis: Diagnosis, findings: Sequence[Finding]) -> Diagnosis:
    """Look for a signature in exceptions too: out of memory and failed shaders never reach stderr."""
    if diagnosis.signature is not None:
        return diagnosis
    found = match("\n".join(one.text for one in findings if one.name in ("exception", "out-of-memory")))
    if found is None:
        return diagnosis
    return replace(diagnosis, signature=found.id, meaning=found.meaning, links=found.links, next=found.next)


def _ending(run: ChildRun, code: int, diagnosis: Diagnosis) -> tuple[Verdict, str] | None:
    """Return the verdict that follows from how the process ended; None when its own result decides."""
    stage = run.snapshot.stage if run.snapshot is not None else "unknown"
    if run.lost:
        return Verdict.INCONCLUSIVE, run.lost
    if run.hung:
        cpu = f", {run.hang_cpu_s:.1f} s of CPU used" if run.hang_cpu_s is not None else ""
        native = f"; {diagnosis.headline}" if diagnosis.signature else ""
        when = (
            f"every thread asleep for {run.spec.stall_s:g} s"
            if run.stalled
            else f"no end after {run.spec.deadline_s:g} s"
        )
        return (Verdict.HANG, f"{when} (stage {stage}{cpu}){_after_body(run)}{native}")
    if code < 0:
        if -code in SENT_BY_OTHERS:
            text = f"killed by {diagnosis.signal_name}, which the framework did not send (out of memory? a user?)"
            return Verdict.INCONCLUSIVE, text
        return Verdict.CRASH, f"{diagnosis.headline}{_after_body(run)}"
    if run.result is None and run.snapshot is not None and run.snapshot.disk_full:
        return (
            Verdict.INCONCLUSIVE,
            f"the child could not write its files in {run.spec.folder}: the disk is full",
        )
    # The status alone would prove nothing: the scenario may use it too.
    unmarked = code == EXIT_FRAMEWORK and stage == "start"
    if run.result is None and (unmarked or (run.snapshot is not None and run.snapshot.framework_failed)):
        return Verdict.BROKEN, f"the framework failed in the child: {diagnosis.headline}"
    if run.spec.kind == "process":
        return _process_ending(run, code, diagnosis)
    if run.result is None:
        return (
            Verdict.CRASH,
            f"the process ended with exit status {code} at stage {stage}, before the attempt was over",
        )
    return None


def _process_ending(run: ChildRun, code: int, diagnosis: Diagnosis) -> tuple[Verdict, str] | None:
    if run.result is not None and run.result["findings"]:
        return None
    snapshot = run.snapshot
    if snapshot is None or not snapshot.body_finished:
        return (
            Verdict.CRASH,
            f"the process ended with exit status {code} before its body finished: {diagnosis.headline}",
        )
    if not snapshot.finalisation_entered:
        return (
            Verdict.CRASH,
            f"the process ended with exit status {code} without finalising: {diagnosis.headline}",
        )
    if code:
        return Verdict.CRASH, f"exit status {code} after the body had finished: {diagnosis.headline}"
    return None


def _after_body(run: ChildRun) -> str:
    if run.spec.kind == "process" and run.snapshot is not None and run.snapshot.body_finished:
        return " (after the body had finished: while the interpreter finalised)"
    return ""


def _headline(judged: Judged) -> str:
    """Return the most severe finding, which is the first, as one line."""
    first = judged.findings[0]
    where = f"{first.where}: " if first.where else ""
    more = len(judged.findings) - 1
    text = first.text.splitlines()[0] if first.text else first.name
    return f"{first.name}: {where}{text}" + (f" (and {more} more)" if more else "")


def judge_reference(run: ChildRun) -> Judged:
    """Return PASS for a usable reference; else why there is nothing to compare with."""
    judged = judge(run)
    if judged.verdict == Verdict.HANG and run.spec.test is not None:
        judged.verdict = Verdict.ERROR
        judged.headline = (
            f"one thread alone does not end: {judged.headline}: if it is slow, raise --mps-deadline"
        )
        return judged
    if judged.verdict == Verdict.HANG:
        text = (
            f"the sequential run did not end in {run.spec.deadline_s:g} s: if it is slow, raise --mps-deadline; if steps "
            "wait for each other, write reference(self, device, inputs)"
        )
        return Judged(
            Verdict.BROKEN, text, [broken("reference-blocks", text)], [], judged.diagnosis, judged.stamps
        )
    if judged.verdict == Verdict.CRASH:
        judged.verdict = Verdict.ERROR
        judged.headline = f"one thread alone crashes: {judged.headline}"
    return judged
