"""Stacks that faulthandler printed in real processes, and text that only looks like it."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from stress.diagnose.stacks import StackFrame
from stress.diagnose.stacks import ThreadStack
from stress.diagnose.stacks import is_noise
from stress.diagnose.stacks import parse_dumps
from stress.diagnose.stacks import parse_stacks
from stress.diagnose.stacks import summarise

# Three threads wait in the same place, then the main thread does what {END} says. It looks where they are
# instead of meeting them at a barrier: of a thread that leaves one, CPython 3.11 sometimes prints one frame.
PROGRAM = """
import faulthandler, os, signal, sys, threading, time

def wait_here(gate):
    gate.acquire()

def main():
    gate = threading.Lock()
    gate.acquire()
    threads = [threading.Thread(target=wait_here, args=(gate,), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    while sum(frame.f_code.co_name == "wait_here" for frame in sys._current_frames().values()) < 3:
        time.sleep(0)
    finish(gate)

def finish(gate):
    {END}

main()
"""


def stderr_of(end: str) -> str:
    program = PROGRAM.replace("{END}", end)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=800, check=False
    )
    return done.stderr


def functions(stack: ThreadStack) -> list[str]:
    return [frame.function for frame in stack.frames]


class TestRealDumps:
    def test_registered_signal(self) -> None:
        text = stderr_of(
            "faulthandler.register(signal.SIGUSR1, all_threads=True); signal.raise_signal(signal.SIGUSR1)"
        )
        stacks = parse_stacks(text)
        assert len(stacks) == 4
        (current,) = [stack for stack in stacks if stack.current]
        assert functions(current) == ["finish", "main", "<module>"]
        assert current.frames[0].file == "<string>"
        assert current.frames[1].line == PROGRAM.splitlines().index("    finish(gate)") + 1
        waiting = [stack for stack in stacks if "wait_here" in functions(stack)]
        assert len(waiting) == 3
        assert len({stack.ident for stack in stacks}) == 4

    def test_timeout_dump(self) -> None:
        text = stderr_of("faulthandler.dump_traceback_later(0.2, exit=True); gate.acquire()")
        stacks = parse_stacks(text)
        assert sum("wait_here" in functions(stack) for stack in stacks) == 3
        assert sum(functions(stack) == ["finish", "main", "<module>"] for stack in stacks) == 1
        summary = summarise(stacks)
        assert "finish (<string>:" in summary
        assert "wait_here (<string>:" in summary

    @pytest.mark.parametrize("end", ["os.abort()", "os.kill(os.getpid(), signal.SIGSEGV)", "os._exit(0)"])
    def test_crash(self, end: str) -> None:
        stacks = parse_stacks(stderr_of(f"faulthandler.enable(all_threads=False); {end}"))
        if end == "os._exit(0)":
            assert stacks == []
        else:
            assert functions(stacks[0]) == ["finish", "main", "<module>"]

    def test_two_dumps(self) -> None:
        text = stderr_of("faulthandler.dump_traceback(); faulthandler.dump_traceback()")
        dumps = parse_dumps(text)
        assert [len(dump) for dump in dumps] == [4, 4]
        assert {stack.ident for stack in dumps[0]} == {stack.ident for stack in dumps[1]}

    def test_every_line_of_a_dump_is_noise(self) -> None:
        text = stderr_of("faulthandler.enable(); os.abort()")
        assert "Fatal Python error" in text
        assert [line for line in text.splitlines() if line and not is_noise(line)] == []


# As CPython 3.14 prints it: thread names and, for the crashed thread, native frames.
NEW_PYTHON = textwrap.dedent(
    """\
    Fatal Python error: Segmentation fault

    Thread 0x000070000a0b1000 [crew-1] (most recent call first):
      File "/x/scenarios/linear.py", line 12 in step
      File "/x/stress/child/crew.py", line 99 in _work

    Thread 0x000070000a0b2000 [crew-2 (no GIL)] (most recent call first):
      File "/x/scenarios/linear.py", line 12 in step
      File "/x/stress/child/crew.py", line 99 in _work

    Current thread 0x00000001f0a1b2c3 [crew-0] (most recent call first):
      Garbage-collecting
      File ???, line ??? in step
      File "/x/str\\xe4ss/crew.py", line 99 in _work
      ...

    Current thread's C stack trace (most recent call first):
      Binary file "/usr/bin/python3.14", at _Py_DumpStack+0x48 [0x5581]
      Binary file "/usr/lib/libtorch_cpu.so", at +0x1f2e3 [0x7f00]
      <truncated rest of calls>

    Extension modules: torch._C, numpy.core (total: 2)
    """
)


class TestText:
    def test_names_and_native_frames(self) -> None:
        stacks = parse_stacks(NEW_PYTHON)
        assert [stack.name for stack in stacks] == ["crew-1", "crew-2 (no GIL)", "crew-0"]
        assert [stack.current for stack in stacks] == [False, False, True]
        assert stacks[0].frames == [
            StackFrame("/x/scenarios/linear.py", 12, "step"),
            StackFrame("/x/stress/child/crew.py", 99, "_work"),
        ]
        assert stacks[2].frames[0] == StackFrame("???", None, "step")
        assert stacks[2].c_frames == [
            "/usr/bin/python3.14 at _Py_DumpStack+0x48 [0x5581]",
            "/usr/lib/libtorch_cpu.so at +0x1f2e3 [0x7f00]",
        ]
        assert [line for line in NEW_PYTHON.splitlines() if line and not is_noise(line)] == []

    def test_summary_says_equal_stacks_once(self) -> None:
        assert summarise(parse_stacks(NEW_PYTHON)) == textwrap.dedent(
            """\
            2 threads (crew-1, crew-2 (no GIL)):
              step (/x/scenarios/linear.py:12)
              ... 1 more
            1 thread (crew-0) [current]:
              step (???:?)
              _work (/x/str\\xe4ss/crew.py:99)
              native: /usr/bin/python3.14 at _Py_DumpStack+0x48 [0x5581]
              native: /usr/lib/libtorch_cpu.so at +0x1f2e3 [0x7f00]"""
        )

    def test_summary_cuts_deep_stacks(self) -> None:
        deep = ThreadStack(ident=1, frames=[StackFrame("f.py", i, "f") for i in range(50)])
        assert summarise([deep], frames_max=2).splitlines()[-2:] == ["  f (f.py:1)", "  ... 48 more"]

    def test_summary_counts_frames_of_the_crew_and_does_not_show_them(self) -> None:
        own = [StackFrame("/x/stress/child/crew.py", i, "_run") for i in range(3)]
        step = StackFrame("linear.py", 12, "step")
        text = summarise([ThreadStack(ident=1, frames=[own[0], step, *own[1:]])])
        assert text == "1 thread:\n  step (linear.py:12)\n  ... 3 more"
        assert summarise([ThreadStack(ident=1, frames=own)]).count("crew.py") == 3, (
            "where nothing else is left"
        )

    def test_a_thread_without_python(self) -> None:
        stacks = parse_stacks("Thread 0x1 (most recent call first):\n  <no Python frame>\n")
        assert [stack.frames for stack in stacks] == [[]]
        assert summarise(stacks) == "1 thread:\n  no Python frame"

    def test_a_stack_without_a_thread(self) -> None:
        (stack,) = parse_stacks('Stack (most recent call first):\n  File "x.py", line 1 in f\n')
        assert (stack.ident, stack.current, functions(stack)) == (None, True, ["f"])

    def test_other_output_ends_a_stack(self) -> None:
        text = 'Thread 0x1 (most recent call first):\nhello\n  File "x.py", line 1 in f\n'
        assert [functions(stack) for stack in parse_stacks(text)] == [[]]

    def test_cut_anywhere(self) -> None:
        for end in range(len(NEW_PYTHON)):
            stacks = parse_stacks(NEW_PYTHON[:end])
            assert len(stacks) <= 3
            summarise(stacks)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\0" * 1000,
            "Thread",
            "Thread 0xzz (most recent call first):",
            "  File",
            "Current thread\n" * 1000,
        ],
    )
    def test_text_without_stacks(self, text: str) -> None:
        assert parse_stacks(text) == []
        assert summarise([]) == ""

    def test_numbers_that_overflow_are_left_out(self) -> None:
        frame = f'  File "x.py", line {"9" * 10_000} in f'
        assert functions(parse_stacks(f"Thread 0x1 (most recent call first):\n{frame}\n")[0]) == []
        assert parse_stacks(f"Thread 0x{'f' * 5000} (most recent call first):\n") == []
