"""Crash reports modelled on the public format (no Mac was at hand), whole, damaged and hostile."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from stress.diagnose import diagnose
from stress.diagnose.ips import FILE_BYTES_MAX
from stress.diagnose.ips import IpsError
from stress.diagnose.ips import NotACrash
from stress.diagnose.ips import default_folders
from stress.diagnose.ips import find_reports
from stress.diagnose.ips import read_ips

OVERLAP = (
    "-[AGXG16XFamilyCommandBuffer blitCommandEncoderCommon:]:836: "
    "failed assertion `A command encoder is already encoding to this command buffer'"
)
HEADER = {
    "app_name": "python3.11",
    "timestamp": "2026-11-20 09:17:03.00 +0100",
    "app_version": "",
    "slice_uuid": "11111111-2222-3333-4444-555555555555",
    "bug_type": "309",
    "os_version": "macOS 26.1 (25B78)",
    "name": "python3.11",
    "incident_id": "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE",
}


def body(**changes: Any) -> dict[str, Any]:
    return {
        "uptime": 7200,
        "version": 2,
        "captureTime": "2026-11-20 09:17:02.7990 +0100",
        "incident": HEADER["incident_id"],
        "pid": 4711,
        "procName": "python3.11",
        "procPath": "/opt/homebrew/*/python3.11",
        "parentProc": "python3.11",
        "parentPid": 4700,
        "exception": {
            "codes": "0x0000000000000000, 0x0000000000000000",
            "type": "EXC_CRASH",
            "signal": "SIGABRT",
        },
        "termination": {
            "code": 6,
            "namespace": "SIGNAL",
            "indicator": "Abort trap: 6",
            "byProc": "python3.11",
        },
        "asi": {"Metal": [OVERLAP], "libsystem_c.dylib": ["abort() called"]},
        "faultingThread": 1,
        "threads": [
            {"id": 1, "queue": "com.apple.main-thread", "frames": [{"imageIndex": 0, "imageOffset": 4}]},
            {
                "id": 2,
                "triggered": True,
                "name": "crew-1",
                "queue": "metal gpu stream",
                "frames": [
                    {"imageOffset": 37552, "symbol": "__pthread_kill", "symbolLocation": 8, "imageIndex": 1},
                    {"imageOffset": 1840, "imageIndex": 2},
                ],
            },
        ],
        "usedImages": [
            {"source": "P", "arch": "arm64", "base": 4363730944, "size": 16384, "name": "python3.11"},
            {
                "source": "P",
                "path": "/usr/lib/system/libsystem_kernel.dylib",
                "name": "libsystem_kernel.dylib",
            },
            {"source": "P", "path": "/System/Library/Extensions/AGXMetalG16X.bundle/AGXMetalG16X"},
        ],
        **changes,
    }


def ips(*objects: object, indent: int | None = 2) -> str:
    return json.dumps(HEADER) + "\n" + "\n".join(json.dumps(each, indent=indent) for each in objects)


def put(
    folder: Path, text: str | bytes, name: str = "python3.11-2026-11-20-091703.ips", time: float = 1000
) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (time, time))
    return path


class TestRead:
    def test_an_assertion(self, tmp_path: Path) -> None:
        report = read_ips(put(tmp_path, ips(body())))
        assert (report.pid, report.parent_pid, report.process) == (4711, 4700, "python3.11")
        assert (report.signal, report.queue, report.thread) == ("SIGABRT", "metal gpu stream", "crew-1")
        assert report.asi == (OVERLAP, "abort() called")
        assert report.exception == "EXC_CRASH (SIGABRT) codes 0x0000000000000000, 0x0000000000000000"
        assert report.termination == "SIGNAL Abort trap: 6"
        assert report.frames == ("libsystem_kernel.dylib __pthread_kill + 8", "AGXMetalG16X + 1840")
        assert report.time == "2026-11-20 09:17:02.7990 +0100"

    @pytest.mark.parametrize("indent", [None, 2])
    def test_body_on_one_line_or_many(self, tmp_path: Path, indent: int | None) -> None:
        assert read_ips(put(tmp_path, ips(body(), indent=indent))).pid == 4711

    def test_a_second_body_is_ignored(self, tmp_path: Path) -> None:
        assert read_ips(put(tmp_path, ips(body(), body(pid=1)) + "\ntrailing words {")).pid == 4711

    def test_a_body_alone(self, tmp_path: Path) -> None:
        assert read_ips(put(tmp_path, json.dumps(body()))).pid == 4711

    def test_a_fault_without_text(self, tmp_path: Path) -> None:
        fault = {
            "type": "EXC_BAD_ACCESS",
            "signal": "SIGSEGV",
            "subtype": "KERN_INVALID_ADDRESS at 0x00000000000005c8",
        }
        report = read_ips(put(tmp_path, ips(body(exception=fault, asi=None, termination=None))))
        assert report.exception == "EXC_BAD_ACCESS (SIGSEGV) KERN_INVALID_ADDRESS at 0x00000000000005c8"
        assert report.asi == ()
        assert report.termination == ""

    def test_the_triggered_thread_stands_in_for_a_missing_index(self, tmp_path: Path) -> None:
        for index in (None, -1, 99, "1"):
            assert read_ips(put(tmp_path, ips(body(faultingThread=index)))).thread == "crew-1"

    @pytest.mark.parametrize(
        "changes",
        [
            {"threads": []},
            {"threads": [None, 3]},
            {"threads": [{}, {"frames": "x"}]},
            {"threads": [{}, {"frames": [None, {}, {"imageIndex": "0"}, {"imageIndex": 10**30}]}]},
            {"usedImages": None},
            {"usedImages": [None, 3, {"name": 7, "path": None}]},
            {"asi": ["x"]},
            {"asi": {"a": "x", "b": [1, None], "c": {}}},
            {"termination": 5},
            {"termination": {"reasons": [1, "why"], "indicator": None}},
            {"exception": {}},
            {"exception": {"type": 1, "signal": [], "codes": {}}},
            {"procName": 3, "captureTime": None, "parentPid": "x"},
        ],
    )
    def test_fields_of_another_type_are_left_out(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        report = read_ips(put(tmp_path, ips(body(**changes))))
        assert report.pid == 4711
        diagnose(stderr="", exit_status=-11, reports=[report])

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "the header is not JSON"),
            ("not a report", "the header is not JSON"),
            (b"\x00\xff\xfe" * 100, "the header is not JSON"),
            ("[1]\n{}", "the header is list"),
            (json.dumps(HEADER), "ends after its header"),
            (json.dumps(HEADER) + "\n \n", "ends after its header"),
            (json.dumps(HEADER) + "\n[1]", "the body is list"),
            (ips(body())[:-200], "the body is not JSON"),
            (ips(body(pid="4711")), "no process id"),
            (ips(body(pid=True)), "no process id"),
            (ips(body(threads={})), "threads is dict"),
            (ips(body(exception=[])), "exception is list"),
            (json.dumps(HEADER) + "\n" + "[" * 100_000, "the body is not JSON"),
            (json.dumps(HEADER) + '\n{"pid": ' + "9" * 10_000 + "}", "the body is not JSON"),
        ],
    )
    def test_unusable_files_say_why(self, tmp_path: Path, text: str | bytes, reason: str) -> None:
        path = put(tmp_path, text)
        with pytest.raises(IpsError, match=reason) as caught:
            read_ips(path)
        assert caught.value.path == path
        assert str(path) in str(caught.value)

    def test_a_huge_file_is_refused_unread(self, tmp_path: Path) -> None:
        path = put(tmp_path, "")
        os.truncate(path, FILE_BYTES_MAX + 1)
        with pytest.raises(IpsError, match="more than"):
            read_ips(path)

    def test_many_frames_and_texts_are_cut(self, tmp_path: Path) -> None:
        frames = [{"symbol": "f", "symbolLocation": i, "imageIndex": 0} for i in range(5000)]
        threads = [{}, {"frames": frames}]
        report = read_ips(put(tmp_path, ips(body(threads=threads, asi={"x": ["y" * 10**5] * 100}))))
        assert len(report.frames) == 32
        assert sum(map(len, report.asi)) <= 50 * 4000

    def test_reports_of_other_kinds_are_no_crashes(self, tmp_path: Path) -> None:
        path = put(tmp_path, json.dumps({"bug_type": "298"}) + '\n{"largestProcess": "python3.11"}')
        with pytest.raises(NotACrash):
            read_ips(path)


class TestFind:
    def test_by_time_and_process(self, tmp_path: Path) -> None:
        put(tmp_path, ips(body(pid=1, parentPid=0)), "old.ips", time=999)
        put(tmp_path, ips(body(pid=2, parentPid=0)), "b.ips", time=2000)
        put(tmp_path, ips(body(pid=1, parentPid=0)), "c.ips", time=1000)
        put(tmp_path, ips(body(pid=3, parentPid=1)), "d.ips", time=3000)
        put(tmp_path, ips(body(pid=1)), "e.crash", time=3000)

        assert [r.pid for r in find_reports(tmp_path, since=1000, pids=None)] == [1, 2, 3]
        assert [r.pid for r in find_reports(tmp_path, since=1000, pids={2})] == [2]
        # The crash of a child of the attempt's process belongs to the attempt.
        assert [r.pid for r in find_reports(tmp_path, since=1000, pids={1})] == [1, 3]
        assert find_reports(tmp_path, since=1000, pids=()) == []

    def test_unreadable_ones_are_collected_and_harmless(self, tmp_path: Path) -> None:
        put(tmp_path, "{", "a.ips")
        put(tmp_path, ips(body()), "b.ips")
        put(tmp_path, json.dumps({"bug_type": "288"}) + "\n{}", "c.ips")
        put(tmp_path, "{", "old.ips", time=1)
        unreadable: list[IpsError] = []
        assert [r.pid for r in find_reports(tmp_path, since=1000, pids=None, unreadable=unreadable)] == [4711]
        assert [error.path.name for error in unreadable] == ["a.ips"]
        assert len(find_reports(tmp_path, since=1000, pids=None)) == 1

    def test_pipes_links_and_folders_are_not_opened(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.ips")
        (tmp_path / "folder.ips").mkdir()
        (tmp_path / "link.ips").symlink_to(put(tmp_path, ips(body()), "target.txt"))
        unreadable: list[IpsError] = []
        assert find_reports(tmp_path, since=0, pids=None, unreadable=unreadable) == []
        assert unreadable == []

    def test_a_missing_folder_has_no_reports(self, tmp_path: Path) -> None:
        assert find_reports(tmp_path / "none", since=0, pids=None) == []

    def test_the_default_folders(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/Users/x")
        names = [str(folder) for folder in default_folders()]
        assert names == [
            "/Users/x/Library/Logs/DiagnosticReports",
            "/Users/x/Library/Logs/DiagnosticReports/Retired",
        ]
