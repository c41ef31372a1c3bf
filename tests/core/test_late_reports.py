"""Late crash reports, with files modelled on macOS's format; nothing here ran on macOS."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from stress.plugin.late_crash_reports import amend
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import RunReader

END: dict[str, Any] = {
    "item": "scenarios/linear.py::SharedLinear[t8]",
    "role": "crew",
    "attempt": 3,
    "verdict": "pass",
    "seconds": 1.0,
    "headline": "",
    "exit_status": 0,
}


def report(folder: Path, pid: int) -> None:
    header = {"app_name": "python3.12", "timestamp": "2026-11-20 09:17:00.00 +0100", "bug_type": "309"}
    body = {
        "pid": pid,
        "procName": "python3.12",
        "exception": {"type": "EXC_CRASH", "signal": "SIGABRT"},
        "asi": {"Metal": ["failed assertion `commit an already committed command buffer'"]},
        "faultingThread": 0,
        "threads": [
            {"frames": [{"imageIndex": 0, "imageOffset": 1, "symbol": "abort", "symbolLocation": 8}]}
        ],
        "usedImages": [{"name": "libsystem_c.dylib"}],
    }
    (folder / f"python3.12-{pid}.ips").write_text(json.dumps(header) + "\n" + json.dumps(body))


class TestLateReports:
    def test_a_report_turns_a_pass_into_a_crash_in_the_record(self, tmp_path: Path) -> None:
        report(tmp_path, 4711)
        report(tmp_path, 9999)  # somebody else's
        writer = RecordWriter(RunFolder.create(tmp_path / "results", "run"))
        (line,) = amend({4711: (time.time() - 60, END)}, [tmp_path], writer.write)
        assert line.startswith("scenarios/linear.py::SharedLinear[t8], crew 3: pass -> crash: crash report")
        (end,) = [dict(one) for one in RunReader(tmp_path / "results" / "run")]
        assert end["amends"] is True
        assert (end["verdict"], end["signal"], end["signature"]) == (
            "crash",
            "SIGABRT",
            "metal/double-commit",
        )

    def test_an_older_report_of_a_reused_process_id_is_not_ours(self, tmp_path: Path) -> None:
        report(tmp_path, 4711)
        assert amend({4711: (time.time() + 60, END)}, [tmp_path], lambda *_, **__: None) == []

    def test_what_is_a_crash_already_is_not_amended(self, tmp_path: Path) -> None:
        report(tmp_path, 4711)
        attempts = {4711: (time.time() - 60, {**END, "verdict": "crash"})}
        assert amend(attempts, [tmp_path], lambda *_, **__: None) == []

    def test_a_report_that_cannot_be_read_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "python3.12-1.ips").write_text('{"app_name": "x"}\n{"pid": ')
        (line,) = amend({4711: (time.time() - 60, END)}, [tmp_path], lambda *_, **__: None)
        assert line.startswith("a crash report cannot be read:")
