"""Collect crash reports that macOS writes late: up to about 6 s, and also for a process that ended with status 0.

They are read when the run ends and matched by process id; a report turns the attempt's verdict into a crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from stress.diagnose import CrashReport
from stress.diagnose import IpsError
from stress.diagnose import default_folders
from stress.diagnose import diagnose
from stress.diagnose import find_reports
from stress.model import system
from stress.model.verdict import Verdict

if TYPE_CHECKING:
    from stress.plugin.run import Run

LATE_S_MAX = 6.0


def wait_and_amend(run: Run) -> list[str]:
    """On macOS, wait for late reports and amend the records; return a line per attempt that changed."""
    if not system.is_macos() or not run.pids:
        return []
    last_end = max(started + end["seconds"] for started, end in run.pids.values())
    time.sleep(max(0.0, last_end + LATE_S_MAX - time.time()))
    return amend(run.pids, default_folders(), run.record)


def settle(run: Run) -> list[str]:
    """Amend the records of attempts whose reports are due by now, and forget those; return a line per change.

    For runs of hours, which can neither wait for reports nor remember every child.
    """
    due = {pid: one for pid, one in run.pids.items() if one[0] + one[1]["seconds"] + LATE_S_MAX < time.time()}
    for pid in due:
        del run.pids[pid]
    return amend(due, default_folders(), run.record) if due else []


def amend(
    attempts: Mapping[int, tuple[float, dict[str, Any]]],
    folders: Sequence[Path],
    record: Callable[..., object],
) -> list[str]:
    """Record an amending `attempt_end` for every attempt that has a report and was not a crash.

    `attempts` maps a child's process id to its start (seconds since 1970) and its `attempt_end` fields.
    Return one line per change, and per report that cannot be read.
    """
    since = min(started for started, _ in attempts.values())
    unreadable: list[IpsError] = []
    reports = [
        one
        for folder in folders
        for one in find_reports(folder, since=since, pids=attempts.keys(), unreadable=unreadable)
    ]
    lines = [f"a crash report cannot be read: {one}" for one in unreadable]
    for report in reports:
        pid = report.pid if report.pid in attempts else report.parent_pid
        _, end = attempts.get(pid or 0, (0.0, {}))
        if end and end["verdict"] != Verdict.CRASH:
            fields = _amended(end, report)
            record("attempt_end", **fields)
            lines.append(
                f"{end['item']}, {end['role']} {end['attempt']}: {end['verdict']} -> crash: {fields['headline']}"
            )
    return lines


def _amended(end: Mapping[str, Any], report: CrashReport) -> dict[str, Any]:
    diagnosis = diagnose(stderr="", exit_status=end["exit_status"] or 0, reports=[report])
    return {
        **end,
        "amends": True,
        "verdict": str(Verdict.CRASH),
        "signal": report.signal,
        "signature": diagnosis.signature,
        "headline": f"crash report {report.path.name}: {diagnosis.headline}",
    }
