"""Run one attempt from its start record to its end record, for every command that runs attempts. Free of pytest."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import NamedTuple

from stress.diagnose import CrashReport
from stress.diagnose import IpsError
from stress.diagnose import default_folders
from stress.diagnose import find_reports
from stress.isolate.attempt import Attempt
from stress.isolate.attempt import end_fields
from stress.isolate.backend import IsolationError
from stress.isolate.judgement import Judged
from stress.isolate.judgement import judge
from stress.isolate.judgement import judge_reference
from stress.isolate.supervisor import ChildRun
from stress.model import shared_write
from stress.model import system
from stress.model.spec import ChildSpec
from stress.model.verdict import Verdict
from stress.record.writer import serial_of

_SCRATCH = ("spec.json", "result.json", "result.part", "blackbox")
_EVIDENCE = ("stderr", "stdout", "stacks", "native", "tsan")
SLEPT_S_MIN = 5.0
"""Seconds by which wall-clock time exceeds the clock that stops while a machine sleeps."""


Recorder = Callable[..., object]
"""(kind, **fields): writes one record."""

Classifier = Callable[[Mapping[str, Any], str], "str | None"]
"""(fields of the end record, stderr) -> the name of the failure, if a plugin knows a better one."""


class Ended(NamedTuple):
    """An attempt that is over."""

    attempt: Attempt
    run: ChildRun
    """What is known about the child."""
    end: dict[str, Any]
    """The fields of the end record."""


class AttemptRunner:
    """Runs attempts one after another: records, child, verdict, files."""

    def __init__(
        self,
        run_child: Callable[[ChildSpec, int], ChildRun],
        record: Recorder,
        classify: Classifier | None = None,
    ) -> None:
        self._run_child, self._record, self._classify = run_child, record, classify
        self.unreadable_reports: list[str] = []

    def run(
        self, spec: ChildSpec, workers: int, identity: Mapping[str, Any], start: Mapping[str, object]
    ) -> Ended:
        """Run one child.

        `identity` has item, role and attempt, and all other fields that both records carry; `start` has the
        other fields of the start record.
        """
        identity = {**identity, "serial": serial_of(spec.name)}
        self._record("attempt_start", **identity, **start)
        wall, clock = time.time(), time.monotonic()
        try:
            run = self._run_child(spec, workers)
        except (IsolationError, OSError) as error:
            self._record("attempt_end", **identity, **_no_child(spec, error, time.monotonic() - clock))
            raise
        slept_s = time.time() - wall - (time.monotonic() - clock)
        role = identity["role"]
        judged = judge_reference(run) if role == "reference" else judge(run, self._reports(run))
        judged.notes += run.notes
        if slept_s > SLEPT_S_MIN:
            _judge_sleep(judged, slept_s)
        if not judged.verdict.is_green and not (run.result or {}).get("stays"):
            run.dismiss()
        attempt = Attempt(role, identity["attempt"], judged, spec.seed, run.seconds)
        attempt.serial = identity["serial"]
        attempt.before = tuple(map(serial_of, run.before))
        attempt.perturbation, attempt.readback = spec.perturb_mode, spec.readback
        attempt.completion = spec.completion if spec.core is not None else ""
        attempt.order = spec.order
        attempt.suppressed = (run.result or {}).get("order", {}).get("suppressed", {})
        attempt.device_order = (run.result or {}).get("device_order", "")
        attempt.hand_overs = str((run.result or {}).get("hand_overs", ""))
        attempt.slots = int((run.result or {}).get("slots", 0))
        attempt.shared_writes = shared_write.from_data((run.result or {}).get("shared_writes", ()))
        attempt.stderr, attempt.stacks = run.stderr, "\n".join(filter(None, (run.stacks, run.native_stacks)))
        attempt.signature = judged.diagnosis.signature if judged.diagnosis is not None else None
        if run.tsan is not None:
            attempt.tsan = run.tsan.to_data()
            attempt.signature = attempt.signature or run.tsan.signature
        if judged.verdict is Verdict.UNORDERED:
            attempt.signature = attempt.signature or _name_of_order((run.result or {}).get("order", {}))
        elif judged.verdict is Verdict.UNKEPT:
            attempt.signature = attempt.signature or f"unkept/{judged.findings[0].name}"
        attempt.files = keep_files(spec, judged)
        end = end_fields(identity, attempt, run)
        if self._classify is not None and not judged.verdict.is_green:
            named = self._classify(end, run.stderr)
            if named is not None:
                attempt.signature = end["signature"] = str(named)
        self._record("attempt_end", **end)
        return Ended(attempt, run, end)

    def _reports(self, run: ChildRun) -> list[CrashReport]:
        """Return macOS crash reports of this child that are there already; late ones are read at the end."""
        found: list[CrashReport] = []
        unreadable: list[IpsError] = []
        if system.is_macos() and (run.hung or run.exit is None or run.exit.code):
            for folder in default_folders():
                found += find_reports(folder, since=run.started, pids={run.pid}, unreadable=unreadable)
        self.unreadable_reports += [str(one) for one in unreadable]
        return found


def _name_of_order(order: Mapping[str, Any]) -> str | None:
    """Return the name of the first unordered pair."""
    return next((str(one["name"]) for one in order.get("pairs", ())), None)


def _no_child(spec: ChildSpec, error: Exception, seconds: float) -> dict[str, object]:
    """Return the end of an attempt that had no child: without an end it would look as if the machine had gone down."""
    for suffix in _SCRATCH:
        spec.file(suffix).unlink(missing_ok=True)
    verdict = Verdict.BROKEN if isinstance(error, IsolationError) else Verdict.INCONCLUSIVE
    return {"verdict": str(verdict), "seconds": seconds, "headline": f"no child process: {error}"}


def _judge_sleep(judged: Judged, slept_s: float) -> None:
    """Report that the machine slept; a hang then proves nothing: how a device wakes up is unknown."""
    text = f"the machine slept (or its clock was set) for {slept_s:.0f} s during the attempt"
    if judged.verdict == Verdict.HANG:
        judged.verdict, judged.headline = Verdict.INCONCLUSIVE, f"{text}: {judged.headline}"
    else:
        judged.notes.append(text)


def keep_files(spec: ChildSpec, judged: Judged) -> dict[str, str]:
    """Remove the files that only the two processes needed; keep the evidence of an attempt that is not green."""
    for suffix in _SCRATCH:
        spec.file(suffix).unlink(missing_ok=True)
    kept = {}
    for suffix in _EVIDENCE:
        path = spec.file(suffix)
        with contextlib.suppress(FileNotFoundError):
            if judged.verdict.is_green or not path.stat().st_size:
                path.unlink()
            else:
                kept[suffix] = path.name
    return kept


def remove_references(paths: Iterable[str]) -> None:
    """Remove the files of reference children, once no crew needs them any more."""
    for path in map(Path, paths):
        for target in (path, path.with_suffix(".json")):
            target.unlink(missing_ok=True)
