"""The verdict of one run, from its remains. What really gives such remains is in test_false_zero.py."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stress.diagnose.tsan.parser import parse_lines
from stress.diagnose.tsan.report import Parsed
from stress.model.verdict import Verdict
from stress.sanitizer.native.judge import JudgedRun
from stress.sanitizer.native.judge import RunRequest
from stress.sanitizer.native.judge import judge
from stress.sanitizer.native.run import ProgramRun

ASKED = RunRequest("counter", 4, 20, 1)
START = {
    "kind": "start", "case": "counter", "threads": 4, "iterations": 20, "fault": None, "platform": "simulated",
    "tsan": True,
}  # fmt: skip
END = {"kind": "end", "operations": 80, "violations": 0, "struck": 0}
VIOLATION = {"kind": "violation", "invariant": "count", "text": "79 of 80"}
RACE = """\
==================
WARNING: ThreadSanitizer: data race (pid=1)
  Write of size 4 at 0x1 by thread T2:
    #0 Pool::next() /src/pool.cpp:3:5 (h+0x1)

  Previous write of size 4 at 0x1 by thread T1:
    #0 Pool::next() /src/pool.cpp:3:5 (h+0x1)

SUMMARY: ThreadSanitizer: data race /src/pool.cpp:3:5 in Pool::next()
==================
"""


def remains(
    *lines: dict[str, Any], code: int = 0, log: str = "", stderr: str = "", **others: Any
) -> JudgedRun:
    parsed = parse_lines(log.splitlines()) if log else Parsed()
    stdout = "".join(json.dumps(one) + "\n" for one in lines)
    values: dict[str, Any] = {
        "hung": False,
        "seconds": 1.0,
        "stdout": stdout,
        "stderr": stderr,
        "parsed": parsed,
    }
    ran = ProgramRun((), code, cpu_s=0.5, memory_bytes_max=1, pid=1, started=0.0, **{**values, **others})
    return judge(ASKED, ran)


LACKING = {"kind": "unavailable", "function": "getStreamFromPool"}


class TestUnavailable:
    def test_a_case_that_cannot_be_run_here(self) -> None:
        judged = remains(START, LACKING, {**END, "operations": 0}, code=4)
        assert (judged.verdict, judged.unavailable, judged.word) == (
            Verdict.INCONCLUSIVE,
            "getStreamFromPool",
            "NOT AVAILABLE",
        )
        assert judged.reasons == ["not available here: getStreamFromPool"]

    def test_what_was_found_before_stands(self) -> None:
        judged = remains(START, LACKING, END, code=66, log=RACE)
        assert (judged.verdict, judged.unavailable) == (Verdict.RACE, "")

    def test_the_line_alone_skips_nothing(self) -> None:
        assert remains(START, LACKING, END).unavailable == ""

    def test_the_status_alone_skips_nothing(self) -> None:
        judged = remains(START, END, code=4)
        assert (judged.unavailable, judged.verdict) == ("", Verdict.INCONCLUSIVE)
        assert judged.reasons == ["exit status 4: no text on stderr"]


class TestVerdict:
    def test_pass(self) -> None:
        judged = remains(START, END)
        assert (judged.verdict, judged.headline, judged.reasons) == (Verdict.PASS, "", [])

    def test_race(self) -> None:
        judged = remains(START, END, code=66, log=RACE)
        assert judged.verdict == Verdict.RACE
        assert judged.signature == "tsan/data-race Pool::next <> Pool::next"

    def test_a_violation_beside_a_race_is_told(self) -> None:
        judged = remains(START, VIOLATION, {**END, "violations": 3}, code=1, log=RACE)
        assert judged.verdict == Verdict.RACE
        assert judged.detectors == ("tsan", "invariant")
        assert judged.headline.endswith("; 3 violations: count: 79 of 80")

    def test_a_violation_alone(self) -> None:
        judged = remains(START, VIOLATION, {**END, "violations": 1}, code=1)
        assert (judged.verdict, judged.headline) == (Verdict.MISMATCH, "count: 79 of 80")

    def test_a_signal_wins_over_the_race_before_it(self) -> None:
        judged = remains(START, code=-11, log=RACE)
        assert judged.verdict == Verdict.CRASH
        assert "1 race before: tsan/data-race Pool::next <> Pool::next" in judged.headline

    def test_a_hang_keeps_the_races_before_it(self) -> None:
        judged = remains(START, code=-9, hung=True, log=RACE)
        assert judged.verdict == Verdict.HANG
        assert judged.detectors == ("tsan",)

    def test_an_assertion_of_metal_is_named(self) -> None:
        text = "failed assertion `A command encoder is already encoding to this command buffer'"
        judged = remains(START, code=-6, stderr=text)
        assert (judged.verdict, judged.signature) == (Verdict.CRASH, "metal/encoder-overlap")
        assert judged.detectors == ("metal",)


class TestInconclusive:
    @pytest.mark.parametrize(
        ("lines", "others", "reason"),
        [
            ([], {}, "it printed no start line"),
            ([START], {}, "it printed no end line"),
            ([START, {**END, "operations": 0}], {}, "the case did nothing (0 operations)"),
            ([START, END], {"code": 3}, "the case did nothing (exit status 3)"),
            ([START, END], {"code": 66}, "exit status 66 without a report"),
            ([START, END], {"code": 2, "stderr": "bad option\n"}, "exit status 2: bad option"),
            ([START, END], {"code": 1}, "exit status 1, but no invariant was named"),
            ([START, END], {"code": -9}, "killed by SIGKILL"),
            ([START], {"code": -25}, "it wrote more than 1024 MiB into one file"),
            ([{**START, "tsan": False}, END], {}, "it reports tsan False"),
            ([{**START, "threads": 1}, END], {}, "it reports threads 1, but 4 was requested"),
            ([{**START, "case": "other"}, END], {}, "it reports case 'other'"),
            ([{**START, "fault": "x"}, END], {}, "it reports fault 'x'"),
            ([{**START, "platform": "?"}, END], {}, "it does not say whether Metal was real"),
            ([START, END], {"stdout_too_long": True}, "its output is too long"),
            ([START, END], {"json_reports": 2}, "text has 0 reports, but its __tsan_on_report had 2"),
            (
                [START, END],
                {"log": "ThreadSanitizer: reported 1 warnings"},
                "0 reports were read, but the runtime announced 1",
            ),
            (
                [START, END],
                {"log": "FATAL: ThreadSanitizer: unexpected memory mapping 0x1-0x2", "code": 66},
                "ThreadSanitizer did not work: FATAL",
            ),
        ],
    )
    def test_nothing_found_and_nothing_proven(
        self, lines: list[dict[str, Any]], others: dict[str, Any], reason: str
    ) -> None:
        judged = remains(*lines, **others)
        assert judged.verdict == Verdict.INCONCLUSIVE
        assert reason in judged.headline

    @pytest.mark.parametrize("text", ["\x00\xff junk", "[1, 2]", "{", "nothing"])
    def test_output_that_is_no_json(self, text: str) -> None:
        judged = remains(stdout=text)
        assert judged.verdict == Verdict.INCONCLUSIVE
