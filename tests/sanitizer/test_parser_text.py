"""Texts as they really arrive: cut, mixed with others' output, pasted, coloured, endless, or not ThreadSanitizer's."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pytest

from stress.diagnose.tsan.parser import LINE_BYTES_MAX
from stress.diagnose.tsan.parser import Parser
from stress.diagnose.tsan.parser import parse_lines
from stress.diagnose.tsan.parser import text_lines
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.tally import REPORTS_MAX

REPORTS = Path(__file__).parent / "reports"
LOCKS = (REPORTS / "clang-19" / "race_two_locks.txt").read_text()
TWO = (REPORTS / "clang-19" / "race_two.txt").read_text()
CYCLE = (REPORTS / "clang-19" / "lock_order_three.txt").read_text()
FOREIGN = (
    "-[AGXG15XFamilyCommandBuffer commit]:836: failed assertion `commit command buffer with uncommitted encoder'",
    "Fatal Python error: Aborted",
    '  File "/src/crew.py", line 12 in run',
    "",
    "....",
    "\x00\x01\ufffd junk",
)


def parse(text: str) -> Parsed:
    return parse_lines(text.splitlines(keepends=True))


def essence(parsed: Parsed) -> object:
    return [
        (one.kind, one.pid, one.stacks, one.locations, one.mutexes, one.threads, one.count)
        for one in parsed.reports
    ]


class TestCut:
    @pytest.mark.parametrize("text", [LOCKS, CYCLE])
    def test_anywhere(self, text: str) -> None:
        whole = parse(text)
        end = text.index("SUMMARY:")
        start = text.index("(pid=")
        for at in range(0, len(text), 53):
            parsed = parse(text[:at])
            inside = start + 12 < at < end
            assert parsed.total == (1 if at > start + 12 else 0)
            assert parsed.cut_off == inside, at
            if inside:
                assert parsed.reports[0].cut_off
                assert not parsed.complete
        assert not whole.cut_off
        assert whole.complete

    def test_a_side_that_is_missing_is_not_guessed(self) -> None:
        assert parse(LOCKS[: LOCKS.index("  Previous")]).signatures == ("tsan/data-race load <> ?",)

    def test_a_report_that_another_one_interrupts(self) -> None:
        parsed = parse(LOCKS[: LOCKS.index("  Location")] + TWO)
        assert parsed.total == 3
        assert [one.cut_off for one in parsed.reports] == [True, False, False]
        assert not parsed.cut_off
        assert not parsed.complete

    def test_the_runtime_counted_more_than_there_is(self) -> None:
        parsed = parse(TWO.replace("reported 2 warnings", "reported 5 warnings"))
        assert (parsed.announced, parsed.total, parsed.complete) == (5, 2, False)


class TestOthersOutput:
    @pytest.mark.parametrize("foreign", FOREIGN)
    @pytest.mark.parametrize("text", [LOCKS, TWO, CYCLE])
    def test_a_line_of_somebody_else_at_every_place(self, text: str, foreign: str) -> None:
        expected = parse(text)
        lines = text.splitlines()
        for at in range(len(lines) + 1):
            parsed = parse_lines([*lines[:at], foreign, *lines[at:]])
            assert parsed.signatures == expected.signatures, (at, lines[at - 1])
            assert (parsed.total, parsed.announced) == (expected.total, expected.announced)
            # An indented line inside a report might be a section that this parser does not know.
            assert parsed.unparsed_lines <= foreign.startswith("  ")

    def test_a_line_that_begins_in_somebody_elses(self) -> None:
        expected = parse(TWO)
        lines = TWO.splitlines()
        for at, line in enumerate(lines):
            if line.strip():
                mixed = [*lines[:at], f"half a line{line}", *lines[at + 1 :]]
                parsed = parse_lines(mixed)
                assert parsed.total == 2, line
                if line.startswith("    #"):
                    assert essence(parsed) == essence(expected)

    def test_somebody_wrote_into_a_header(self) -> None:
        mixed = LOCKS.replace("by thread T1 (mutexes", "by thread T1assert\n (mutexes", 1)
        parsed = parse(mixed)
        assert parsed.total == 1
        assert parsed.signatures == parse(LOCKS).signatures

    def test_dots_of_a_test_runner_before_the_separator(self) -> None:
        assert essence(parse(TWO.replace("==================", "...=================="))) == essence(
            parse(TWO)
        )


class TestPasted:
    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("indented", lambda text: "".join(f"    {line}" for line in text.splitlines(keepends=True))),
            ("crlf", lambda text: text.replace("\n", "\r\n")),
            ("stamped", lambda text: "".join(f"2026-11-20T09:17:00.1234567Z {line}" for line in text.splitlines(True))),
            ("coloured", lambda text: text.replace("WARNING", "\x1b[1m\x1b[31mWARNING").replace("  Write", "\x1b[1m\x1b[34m  Write")),
        ],
    )  # fmt: skip
    def test_reads_the_same(self, name: str, change: object) -> None:
        assert callable(change)
        for text in (TWO, CYCLE, LOCKS):
            parsed = parse(change(text))
            assert essence(parsed) == essence(parse(text)), name
            assert parsed.unparsed_lines == 0, parsed.unparsed


class TestNotOurs:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "all fine\n",
            "==12== ERROR SUMMARY: 0 errors from 0 contexts\n",
            "==12==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010\n    #0 f a.cpp:1 (a+0x1)\n",
            "==12==ERROR: LeakSanitizer: detected memory leaks\n",
            "=================== short test summary info ====================\n",
            "ERROR: expected 3 items\n",
        ],
    )
    def test_is_told_apart(self, text: str) -> None:
        parsed = parse(text)
        assert not parsed.is_tsan
        assert (parsed.total, parsed.announced) == (0, None)

    def test_binary_junk(self) -> None:
        junk = random.Random(7).randbytes(300_000)
        parsed = parse_lines(text_lines(io.BytesIO(junk)))
        assert not parsed.is_tsan

    def test_junk_around_a_report(self) -> None:
        junk = random.Random(8).randbytes(5_000)
        data = junk + b"\n" + TWO.encode() + junk
        assert parse_lines(text_lines(io.BytesIO(data))).signatures == parse(TWO).signatures

    def test_a_type_and_a_section_that_nobody_knows(self) -> None:
        text = LOCKS.replace("data race (pid", "time travel (pid").replace(
            "  Location is", "  Whereabouts are"
        )
        parsed = parse(text)
        assert parsed.signatures == ("tsan/time-travel load <> store",)
        assert parsed.unparsed_lines == 1
        assert parsed.unparsed[0].startswith("Whereabouts are global")

    def test_what_has_the_name_and_no_meaning_counts_as_unparsed(self) -> None:
        parsed = parse("ThreadSanitizer: something new in version 30\n")
        assert parsed.unparsed_lines == 1
        assert parsed.is_tsan


class TestRuntime:
    @pytest.mark.parametrize(
        "line",
        [
            "FATAL: ThreadSanitizer: unexpected memory mapping 0x5d8bf0c13000-0x5d8bf0c3a000",
            "==23303==ERROR: External symbolizer path is set to '/nonexistent' which isn't a known symbolizer.",
            "==7==WARNING: invalid path to external symbolizer!",
            "ThreadSanitizer: failed to read suppressions file '/nonexistent'",
            "ThreadSanitizer: CHECK failed: tsan_rtl.cpp:100 \"((x)) != (0)\" (0x0, 0x0) (tid=1)",
            "ThreadSanitizer: ERROR: Flag parsing failed.",
            "ERROR: Invalid value for bool option: 'maybe'",
            "ThreadSanitizer: starting new threads after multi-threaded fork is not supported. Dying (set die_after_fork=0 to override)",
        ],
    )  # fmt: skip
    def test_says_that_it_did_not_work(self, line: str) -> None:
        parsed = parse(f"{line}\n")
        assert parsed.fatal == (line,)
        assert parsed.unparsed_lines == 0
        assert parse(f"{TWO}{line}\n").fatal == (line,)

    def test_tells_what_suppressions_hid(self) -> None:
        parsed = parse(
            "ThreadSanitizer: Matched 7 suppressions (pid=9):\n5 race:^add$\n2 deadlock:libobjc.so\nend\n"
        )
        assert parsed.suppressions == {"race:^add$": 5, "deadlock:libobjc.so": 2}
        assert parsed.is_tsan

    def test_several_processes_count_each_for_itself(self) -> None:
        parsed = parse(TWO + LOCKS)
        assert (parsed.total, parsed.announced) == (3, 3)
        assert parsed.complete


class TestEndless:
    def test_the_first_of_each_signature_is_kept_and_counted(self) -> None:
        parser = Parser()
        for _ in range(50):
            for line in TWO.splitlines():
                parser.feed(line)
        parsed = parser.result()
        assert [one.count for one in parsed.reports] == [50, 50]
        assert parsed.total == parsed.announced == 100

    def test_signatures_have_a_limit(self) -> None:
        parser = Parser()
        for number in range(REPORTS_MAX + 5):
            parser.feed(f"WARNING: ThreadSanitizer: thread leak (pid={number})")
            parser.feed("  Thread T1 (tid=7, finished) created by main thread at:")
            parser.feed(f"    #0 leak_{number}(int) /src/a.cpp:1:1 (m+0x1)")
            parser.feed("")
            parser.feed(f"SUMMARY: ThreadSanitizer: thread leak /src/a.cpp:1:1 in leak_{number}(int)")
            parser.feed("==================")
        parsed = parser.result()
        assert (len(parsed.reports), parsed.total, parsed.left_out) == (REPORTS_MAX, REPORTS_MAX + 5, 5)

    def test_lines_frames_and_sections_have_limits(self) -> None:
        long_line = b"x" * (3 * LINE_BYTES_MAX) + b"\nnext\n"
        assert [len(one) for one in text_lines(io.BytesIO(long_line))] == [LINE_BYTES_MAX + 1, 5]
        frames = ["    #1 f(int) /src/a.cpp:1:1 (m+0x1)"] * 5000
        sections = ["  Read of size 4 at 0x1 by thread T1:", *frames[:1], ""] * 5000
        parsed = parse_lines(["WARNING: ThreadSanitizer: data race (pid=1)", *frames, "", *sections])
        (report,) = parsed.reports
        assert max(len(one.frames) for one in report.stacks) < 1000
        assert len(report.stacks) < 1000
        assert parsed.cut_off

    @pytest.mark.parametrize(
        "unit",
        [
            "(",
            "()",
            "(a",
            "<a",
            "'lambda'(",
            "{lambda(",
            " /a(",
            ".isra.1",
            "rax = 0x1  ",
            "M0 (0x1) => ",
            "std::a ",
            "::",
        ],
    )
    def test_long_lines_take_no_pattern_back_and_forth(self, unit: str) -> None:
        # A pattern that tries every way to read such a line would meet the test's deadline.
        line = unit * (LINE_BYTES_MAX // len(unit))
        parsed = parse_lines(
            [
                "WARNING: ThreadSanitizer: data race (pid=1)",
                "  Read of size 4 at 0x1 by thread T1:",
                f"    #0 {line}",
                f"    #1 f{line} <null> (m+0x1)",
                f"    #2 f(int) {line} (m(+0x1)",
                f"  Location is global '{line}",
                f"  Thread T1 '{line}",
                f"  Cycle in lock order graph: {line}",
                f"{line}",
                "==1==ERROR: ThreadSanitizer: SEGV on unknown address 0x1 (pc 0x1 bp 0x1 sp 0x1 T1)",
                f"{line}!",
                f"==1=={line}",
            ]
        )
        assert (parsed.total, len(parsed.deadly)) == (1, 1)
