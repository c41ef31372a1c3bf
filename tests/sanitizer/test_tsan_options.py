"""TSAN_OPTIONS: ours, the user's on top, and how they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from stress.device.clang import Toolchain
from stress.sanitizer.tsan_options import OptionsError
from stress.sanitizer.tsan_options import TsanOptions
from stress.sanitizer.tsan_options import parse

LINUX = Toolchain(
    Path("clang++"), "clang", Path("rt.so"), Path("/bin/my symbolizer"), Path("nm"), Path("/gcc")
)
APPLE = Toolchain(Path("clang++"), "clang", Path("rt.dylib"), Path("/usr/bin/atos"), Path("nm"), None)


def test_reports_are_read_back_as_they_were_written() -> None:
    options = TsanOptions.make(LINUX, Path("/a:b/none.txt"))
    assert parse(options.text(Path("/runs/it's/log"))) == {
        "atexit_sleep_ms": "50",
        "exitcode": "66",
        "history_size": "64",
        "second_deadlock_stack": "1",
        "print_suppressions": "1",
        "external_symbolizer_path": "/bin/my symbolizer",
        "suppressions": "/a:b/none.txt",
        "log_path": "/runs/it's/log",
    }


def test_apples_defaults_are_countered() -> None:
    """By default a racy run there ends in SIGABRT, and a use after free goes unseen."""
    values = TsanOptions.make(APPLE, None).values
    assert values["abort_on_error"] == "0"
    assert values["ignore_interceptors_accesses"] == "0"
    assert values["log_to_syslog"] == "0"
    assert "abort_on_error" not in TsanOptions.make(LINUX, None).values


def test_the_users_win_and_are_told() -> None:
    options = TsanOptions.make(LINUX, None, "history_size=2:report_bugs=0 suppressions='/x y'")
    assert options.values["history_size"] == "2"
    assert options.given == {"history_size": "2", "report_bugs": "0", "suppressions": "/x y"}
    assert options.suppressions == Path("/x y")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("log_path=/tmp/x", "log_path is set by mps-stress, which reads the reports: leave it out"),
        ("history_size", "expected name=value at 'history_size'"),
        ("suppressions='/x", "the quote of suppressions is not closed"),
    ],
)
def test_what_cannot_be_used(text: str, problem: str) -> None:
    with pytest.raises(OptionsError, match=problem):
        TsanOptions.make(LINUX, None, text)
