"""The verdict of one run, from everything that it left. An exit status alone proves nothing.

ThreadSanitizer's status (66) is also that of a runtime that could not start; 0 is also that of a run whose races were
lost. So only a parsed report is a finding, and a pass is a run with everything that a finding would need.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from dataclasses import field

from stress.diagnose import Diagnosis
from stress.diagnose import diagnose
from stress.diagnose.tsan.signature import deadly_signature
from stress.model.finding import Finding
from stress.model.text import count
from stress.model.verdict import Verdict
from stress.model.verdict import word_of
from stress.model.verdict import worst
from stress.sanitizer.native.listing import Told
from stress.sanitizer.native.listing import read_told
from stress.sanitizer.native.run import FILE_BYTES_MAX
from stress.sanitizer.native.run import ProgramRun
from stress.sanitizer.tsan_options import EXIT_CODE

EXIT_VIOLATED = 1
EXIT_NOTHING_DONE = 3
EXIT_UNAVAILABLE = 4
_SENT_BY_OTHERS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_FINDINGS_MAX = 20
_ASSERTION = re.compile(r"failed assertion|BUG IN CLIENT OF LIBDISPATCH")
"""Messages of Apple's frameworks when they are misused: Metal, and libdispatch below it."""


@dataclass(frozen=True)
class RunRequest:
    """The request for a run."""

    case: str
    threads: int
    iterations: int
    seed: int
    fault: str | None = None
    """As `--fault` takes it: NAME[/twin][:PROBABILITY]."""

    def arguments(self) -> list[str]:
        fault = [f"--fault={self.fault}"] if self.fault else []
        return [
            f"--case={self.case}",
            f"--threads={self.threads}",
            f"--iterations={self.iterations}",
            f"--seed={self.seed}",
            *fault,
        ]


@dataclass
class JudgedRun:
    """The verdict of one run and the evidence for it."""

    asked: RunRequest
    ran: ProgramRun
    told: Told
    verdict: Verdict
    headline: str
    findings: list[Finding] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    """Problems of the run itself: with one of them, the absence of races proves nothing."""
    diagnosis: Diagnosis | None = None
    signature: str | None = None

    @property
    def detectors(self) -> tuple[str, ...]:
        """Return which of the three detectors found something: "tsan", "metal", "invariant"."""
        metal = _ASSERTION.search(self.ran.stderr) is not None
        found = {"tsan": self.races > 0, "metal": metal, "invariant": self.told.violations_total > 0}
        return tuple(name for name, is_found in found.items() if is_found)

    @property
    def races(self) -> int:
        """Number of reports, of whatever type."""
        return self.ran.parsed.total

    @property
    def unavailable(self) -> str:
        """Return what the backend lacks for this case, if that is the run's only result; else nothing."""
        return self.told.unavailable if self.ran.code == EXIT_UNAVAILABLE and not self.findings else ""

    @property
    def word(self) -> str:
        if self.unavailable:
            return "NOT AVAILABLE"
        name = self.diagnosis.signal_name if self.diagnosis is not None else None
        return word_of(self.verdict, signal=name)


def judge(asked: RunRequest, ran: ProgramRun) -> JudgedRun:
    """Return the verdict of a run, without regard to the controls."""
    told = read_told(ran.stdout)
    judged = JudgedRun(asked, ran, told, Verdict.PASS, "")
    judged.diagnosis = diagnose(stderr=ran.stderr, exit_status=ran.code, hang=ran.hung)
    ending = _ending(judged)
    judged.findings = [*([ending] if ending else []), *_races(ran), *_violations(told)]
    judged.reasons = _amiss(judged)
    if judged.findings:
        judged.verdict = worst(Verdict(one.verdict) for one in judged.findings)
        judged.headline = _headline(judged)
        judged.signature = _signature(judged)
    elif judged.reasons:
        judged.verdict, judged.headline = Verdict.INCONCLUSIVE, "; ".join(judged.reasons)
    return judged


def _ending(judged: JudgedRun) -> Finding | None:
    """Return how the process ended, where that is a finding."""
    ran, diagnosis = judged.ran, judged.diagnosis
    assert diagnosis is not None
    if ran.hung:
        return Finding(
            Verdict.HANG, "hang", f"no end after {ran.seconds:.1f} s ({ran.cpu_s:.1f} s of CPU used)"
        )
    if ran.parsed.deadly:
        first = ran.parsed.deadly[0]
        return Finding(Verdict.CRASH, first.kind, deadly_signature(first))
    if ran.code < 0 and -ran.code not in (*_SENT_BY_OTHERS, signal.SIGXFSZ):
        return Finding(
            Verdict.CRASH, diagnosis.signature or diagnosis.signal_name or "signal", diagnosis.headline
        )
    return None


def _races(ran: ProgramRun) -> list[Finding]:
    parsed = ran.parsed
    findings = []
    for report, name in list(zip(parsed.reports, parsed.signatures, strict=True))[:_FINDINGS_MAX]:
        often = f" ({report.count} reports)" if report.count > 1 else ""
        place = report.location
        where = f" on global '{place.name}'" if place is not None and place.name else ""
        findings.append(Finding(Verdict.RACE, report.kind, f"{name}{where}{often}"))
    return findings


def _violations(told: Told) -> list[Finding]:
    findings = [
        Finding(Verdict.MISMATCH, one.partition(":")[0], one) for one in told.violations[:_FINDINGS_MAX]
    ]
    if told.violations_total and not findings:
        findings = [
            Finding(Verdict.MISMATCH, "invariant", f"{told.violations_total} violations, none printed")
        ]
    return findings


def _headline(judged: JudgedRun) -> str:
    """Return the most severe finding, and the number of races and violations beside it."""
    first = max(judged.findings, key=lambda one: one.verdict == judged.verdict)
    counts = []
    if judged.races and first.verdict != Verdict.RACE:
        counts.append(f"{count(judged.races, 'race')} before: {judged.ran.parsed.signatures[0]}")
    elif judged.races > 1:
        counts.append(f"{count(judged.races, 'race')}, {len(judged.ran.parsed.reports)} of them different")
    if judged.told.violations_total and first.verdict != Verdict.MISMATCH:
        counts.append(f"{count(judged.told.violations_total, 'violation')}: {judged.told.violations[0]}")
    return f"{first.text}{''.join(f'; {one}' for one in counts)}"


def _signature(judged: JudgedRun) -> str | None:
    """Return the name of the worst finding, if it has one."""
    if judged.diagnosis is not None and judged.diagnosis.signature:
        return judged.diagnosis.signature
    if judged.ran.parsed.deadly:
        return deadly_signature(judged.ran.parsed.deadly[0])
    return judged.ran.parsed.signatures[0] if judged.ran.parsed.signatures else None


def _amiss(judged: JudgedRun) -> list[str]:
    """Return why this run, if it found nothing, proves nothing."""
    ran, told, asked = judged.ran, judged.told, judged.asked
    if judged.unavailable:
        return [f"not available here: {judged.unavailable}"]
    reasons = [f"ThreadSanitizer did not work: {line}" for line in ran.parsed.fatal[:1]]
    ended_badly = ran.hung or ran.code < 0 or bool(ran.parsed.deadly)
    if ran.code == -signal.SIGXFSZ:
        reasons.append(f"it wrote more than {FILE_BYTES_MAX >> 20} MiB into one file")
    elif ran.code < 0 and not ran.hung and -ran.code in _SENT_BY_OTHERS:
        name = signal.Signals(-ran.code).name
        reasons.append(f"killed by {name}, which mps-stress did not send (out of memory? a user?)")
    if ran.code == EXIT_CODE and not ran.parsed.total and not ran.parsed.deadly and not reasons:
        reasons.append(f"exit status {EXIT_CODE} without a report: {_last_line(ran.stderr)}")
    if ran.code == EXIT_NOTHING_DONE:
        reasons.append("the case did nothing (exit status 3)")
    elif ran.code > EXIT_VIOLATED and ran.code != EXIT_CODE:
        reasons.append(f"exit status {ran.code}: {_last_line(ran.stderr)}")
    if ran.code == EXIT_VIOLATED and not told.violations_total:
        reasons.append("exit status 1, but no invariant was named")
    reasons += _told_amiss(told, asked, ended_badly=ended_badly or bool(reasons))
    if ran.stdout_too_long:
        reasons.append("its output is too long to read")
    parsed = ran.parsed
    if not parsed.complete and not ended_badly:
        reasons.append(f"{parsed.total} reports were read, but the runtime announced {parsed.announced}")
    if parsed.unparsed_lines:
        reasons.append(
            f"{parsed.unparsed_lines} lines of the runtime were not understood: {parsed.unparsed[0]}"
        )
    if ran.json_reports is not None and ran.json_reports != parsed.total and not ended_badly:
        reasons.append(
            f"the runtime's text has {parsed.total} reports, but its __tsan_on_report had {ran.json_reports}"
        )
    return reasons


def _told_amiss(told: Told, asked: RunRequest, *, ended_badly: bool) -> list[str]:
    """Return what is wrong with the program's own account of its run."""
    start, end = told.start, told.end
    if start is None:
        return [] if ended_badly else ["it printed no start line, so it is unknown whether it ran at all"]
    reasons = []
    for name, wanted in (
        ("case", asked.case),
        ("threads", asked.threads),
        ("iterations", asked.iterations),
        ("tsan", True),
    ):
        if start.get(name) != wanted:
            reasons.append(f"it reports {name} {start.get(name)!r}, but {wanted!r} was requested")
    if bool(start.get("fault")) != bool(asked.fault):
        reasons.append(f"it reports fault {start.get('fault')!r}, but {asked.fault!r} was requested")
    if not told.platform:
        reasons.append("it does not say whether Metal was real")
    if asked.threads < 2:
        reasons.append("one thread cannot race")
    if end is None:
        if not ended_badly:
            reasons.append("it printed no end line: it did not finish")
    elif not told.operations:
        reasons.append("the case did nothing (0 operations)")
    return reasons


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "no text on stderr"
