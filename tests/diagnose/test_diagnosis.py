"""What a report says about a process that died, from real dying processes and from modelled remains."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stress.diagnose import CrashReport
from stress.diagnose import Diagnosis
from stress.diagnose import diagnose
from stress.diagnose import signal_name

OVERLAP = (
    "-[AGXG16XFamilyCommandBuffer blitCommandEncoderCommon:]:836: failed assertion "
    "`A command encoder is already encoding to this command buffer'"
)


def report(**changes: object) -> CrashReport:
    fields: dict[str, object] = {
        "path": Path("x.ips"),
        "pid": 1,
        "parent_pid": None,
        "process": "python3.11",
        "time": "",
        "signal": "SIGSEGV",
        "exception": "EXC_BAD_ACCESS (SIGSEGV) KERN_INVALID_ADDRESS at 0x00000000000005c8",
        "asi": (),
        "termination": "",
        "queue": "metal gpu stream",
        "thread": None,
        "frames": ("AGXMetalG16X -[X setComputePipelineState:] + 32",),
    }
    return CrashReport(**{**fields, **changes})  # type: ignore[arg-type]


def remains_of(program: str) -> Diagnosis:
    """Run a program and diagnose what is left of it."""
    command = [sys.executable, "-X", "faulthandler", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    return diagnose(stderr=done.stderr, exit_status=done.returncode)


class TestRealProcesses:
    def test_abort_with_a_native_text(self) -> None:
        found = remains_of(f"import os; os.write(2, {(OVERLAP + chr(10)).encode()!r}); os.abort()")
        assert found.signature == "metal/encoder-overlap"
        assert found.headline == OVERLAP
        assert found.signal_name == "SIGABRT"
        assert not found.taints

    def test_segfault_without_a_text(self) -> None:
        found = remains_of("import ctypes\ndef here():\n    ctypes.string_at(0)\nhere()")
        assert found.signature is None
        assert found.signal_name == "SIGSEGV"
        assert found.headline.startswith("killed by SIGSEGV, no text on stderr; Python was in string_at (")

    def test_abort_without_faulthandler(self) -> None:
        done = subprocess.run(
            [sys.executable, "-c", "import os; os.abort()"], capture_output=True, check=False
        )
        found = diagnose(stderr=done.stderr.decode(), exit_status=done.returncode)
        assert found.headline == "killed by SIGABRT, no text on stderr"

    def test_unknown_native_text_is_the_headline(self) -> None:
        found = remains_of("import os; os.write(2, b'first\\nlibfoo: the sky fell\\n'); os.abort()")
        assert (found.signature, found.headline) == (None, "libfoo: the sky fell")

    def test_python_exception(self) -> None:
        found = remains_of("import warnings; warnings.warn('old'); {}['key']")
        assert (found.signature, found.headline, found.signal_name) == (None, "KeyError: 'key'", None)

    def test_killed_by_somebody_else(self) -> None:
        found = remains_of("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
        assert found.signature == "process/killed-from-outside"
        assert found.headline == "killed by SIGKILL, no text on stderr"

    def test_a_clean_end(self) -> None:
        found = remains_of("pass")
        assert (found.signature, found.headline, found.signal_name, found.taints) == (None, "", None, False)

    def test_silent_failure(self) -> None:
        assert remains_of("import os; os._exit(3)").headline == "ended with status 3, no text on stderr"

    def test_the_reason_of_an_uncaught_exception_is_in_the_headline(self) -> None:
        text = "terminate called after throwing an instance of 'c10::Error'\n  what():  no kernel\nAborted\n"
        assert diagnose(stderr=text, exit_status=-6).headline == (
            "terminate called after throwing an instance of 'c10::Error' what(): no kernel"
        )


class TestTaint:
    FAULT = "\tCaused GPU Timeout Error (00000002:kIOGPUCommandBufferCallbackErrorTimeout)"

    def test_a_gpu_fault_taints_a_process_that_ended_well(self) -> None:
        found = diagnose(stderr=f"hello\n{self.FAULT}\nbye\n", exit_status=0)
        assert (found.signature, found.taints) == ("gpu/fault", True)
        assert found.headline == self.FAULT.strip()

    def test_a_gpu_fault_taints_behind_another_name(self) -> None:
        found = diagnose(stderr=f"{self.FAULT}\n{OVERLAP}\n", exit_status=-6)
        assert (found.signature, found.taints) == ("metal/encoder-overlap", True)

    def test_a_gpu_fault_in_the_middle_of_much_output_taints(self) -> None:
        filler = "progress\n" * 500_000
        found = diagnose(stderr=f"{filler}{self.FAULT}\n{filler}", exit_status=0)
        assert found.taints


class TestHang:
    STACKS = (
        'Thread 0x1 (most recent call first):\n  File "a.py", line 3 in step\n\n'
        'Thread 0x2 (most recent call first):\n  File "a.py", line 3 in step\n\n'
        'Thread 0x3 (most recent call first):\n  File "b.py", line 4 in join\n'
    )

    def test_headline_says_where_threads_are(self) -> None:
        found = diagnose(stderr="", exit_status=-signal.SIGKILL, stacks=self.STACKS, hang=True)
        assert found.headline == "no end before the deadline; 2 of 3 threads in step (a.py:3)"
        assert found.signature is None
        assert found.signal_name is None

    def test_native_stacks_name_it(self) -> None:
        native = self.STACKS + "\nCall graph:\n    2214 -[_MTLCommandBuffer waitUntilCompleted] + 44\n"
        found = diagnose(stderr="", exit_status=-signal.SIGKILL, stacks=native, hang=True)
        assert found.signature == "hang/wait-until-completed"
        assert diagnose(stderr="", exit_status=-9, stacks=native).signature == "process/killed-from-outside"

    def test_an_assertion_in_one_thread_explains_the_hang_of_the_others(self) -> None:
        found = diagnose(stderr=OVERLAP, exit_status=-9, stacks="waitUntilCompleted", hang=True)
        assert found.signature == "metal/encoder-overlap"

    def test_without_stacks(self) -> None:
        found = diagnose(stderr="loading\n", exit_status=-9, hang=True)
        assert found.headline == "no end before the deadline; last line on stderr: loading"


class TestReports:
    def test_frames_name_a_silent_segfault(self) -> None:
        found = diagnose(stderr="", exit_status=-11, reports=[report()])
        assert found.signature == "driver/agx-null-context"
        assert found.headline == "AGXMetalG16X -[X setComputePipelineState:] + 32"

    def test_asi_text_names_it_when_stderr_was_lost(self) -> None:
        found = diagnose(stderr="", exit_status=-6, reports=[report(asi=("abort() called", OVERLAP))])
        assert (found.signature, found.headline) == ("metal/encoder-overlap", OVERLAP)

    def test_unknown_crash_shows_the_report(self) -> None:
        unknown = report(frames=("libfoo.dylib f + 1",))
        found = diagnose(stderr="", exit_status=-11, reports=[unknown])
        assert found.signature is None
        assert found.headline == f"{unknown.exception} in libfoo.dylib f + 1"

    def test_unknown_assertion_of_a_report_is_the_headline(self) -> None:
        found = diagnose(
            stderr="noise\n", exit_status=-6, reports=[report(asi=("abort() called", "new: text"), frames=())]
        )
        assert found.headline == "new: text"

    def test_a_report_after_exit_0_is_a_crash(self) -> None:
        found = diagnose(stderr="", exit_status=0, reports=[report(frames=("libfoo.dylib f + 1",))])
        assert (found.signature, found.signal_name) == ("process/silent-crash", "SIGSEGV")


class TestEnd:
    def test_a_signal_after_the_body(self) -> None:
        assert diagnose(stderr="", exit_status=-11, body_finished=True).signature == "process/exit-crash"
        assert diagnose(stderr="", exit_status=-11).signature is None
        assert diagnose(stderr="", exit_status=0, body_finished=True).signature is None

    def test_a_known_text_says_more_than_the_moment(self) -> None:
        text = (
            "libc++abi: terminating due to uncaught exception of type x: mutex lock failed: Invalid argument"
        )
        assert diagnose(stderr=text, exit_status=-6, body_finished=True).signature == "process/dead-mutex"

    @pytest.mark.parametrize(
        ("status", "name"), [(0, None), (7, None), (-6, "SIGABRT"), (-11, "SIGSEGV"), (-99, "signal 99")]
    )
    def test_signal_names(self, status: int, name: str | None) -> None:
        assert signal_name(status) == name


class TestHostileText:
    @pytest.mark.parametrize(
        "stderr", ["\0" * 5_000_000, "x" * 5_000_000, "\n" * 5_000_000, "\u2028\x1b[31m" * 9, "\udc80"]
    )
    def test_headline_is_one_short_line(self, stderr: str) -> None:
        found = diagnose(stderr=stderr, exit_status=-6)
        assert len(found.headline) <= 500
        assert "\n" not in found.headline
