"""Read what ThreadSanitizer printed, line by line and in flat memory.

The grammar is that of LLVM's `tsan_report.cpp` (14 to 19) and GCC 12's copy of it, on Linux and macOS. stderr is
shared, so a report may be cut anywhere, and lines of others (Metal's assertions, the program's own) may stand inside
it, before it on the same line, or in the middle of one of its lines. What is understood is kept, what is not is
counted, and nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from stress.diagnose.tsan.assembly import DeadlyAssembly
from stress.diagnose.tsan.assembly import ReportAssembly
from stress.diagnose.tsan.frames import FRAME_START
from stress.diagnose.tsan.frames import parse_frame
from stress.diagnose.tsan.report import Deadly
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.tally import ReportTally

LINE_BYTES_MAX = 64 * 1024
FATAL_MAX = 100
DEADLY_MAX = 100
SUPPRESSIONS_MAX = 1000
TEXT_CHARS_MAX = 1000

SEPARATOR = "=================="

_HEADER = re.compile(r"WARNING: ThreadSanitizer: (?P<type>.{1,300}?) \(pid=(?P<pid>\d{1,10})\)")
_SUMMARY = re.compile(r"SUMMARY: ThreadSanitizer: (?P<text>.*)$")
_ANNOUNCED = re.compile(r"ThreadSanitizer: reported (?P<count>\d{1,9}) warnings")
_MATCHED = re.compile(r"ThreadSanitizer: Matched (?P<count>\d{1,9}) suppressions")
_MATCH = re.compile(r"(?P<count>\d{1,9}) (?P<suppression>[a-z_]{1,40}:.{1,500})$")
_DEADLY = re.compile(
    r"==(?P<pid>\d{1,10})==ERROR: ThreadSanitizer: (?P<kind>[A-Za-z-]{2,40})(?: on (?:unknown )?address"
    r"(?: (?P<address>0x[0-9a-fA-F]{1,16}))?)? ?\(pc 0x[0-9a-fA-F]{1,16} .*? T(?P<tid>\d{1,20})\)"
)
_DEADLY_ACCESS = re.compile(r"The signal is caused by a (?P<access>READ|WRITE|UNKNOWN) memory access")
_PROCESS_LINE = re.compile(r"==\d{1,10}==(?P<text>.*)$")
_REGISTERS = re.compile(
    r"(?:\s*(?:r[a-z0-9]{1,3}|x\[?\d{1,2}\]?|fp|lr|sp|pc|e[a-z]{2}) ?= ?0x[0-9a-f]{1,16}(?=\s|$))+\s*$"
)
_INFRASTRUCTURE = re.compile(
    r"FATAL: ThreadSanitizer|ThreadSanitizer:? CHECK failed|ERROR: ThreadSanitizer|ThreadSanitizer: ERROR: |"
    r"ThreadSanitizer: failed to|ThreadSanitizer: starting new threads|ThreadSanitizer: memory limit|"
    r"==\d{1,10}==(?:ERROR|WARNING|FATAL): (?!\w*(?:Address|Leak|Memory|Type)Sanitizer)|"
    r"ERROR: (?:Unknown|Invalid) value for \w+ option|Interceptors are not working"
)
_KNOWN_NOISE = re.compile(
    r"ThreadSanitizer:DEADLYSIGNAL|ThreadSanitizer can not provide additional info|"
    r"==\d{1,10}==ABORTING|ThreadSanitizer: nested bug in the same thread, aborting"
)
_ESCAPES = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{8,24}Z ")
"""What GitHub puts before every line of a log."""


class Parser:
    """Takes lines one at a time; `result()` may be asked at any time and closes what is open."""

    def __init__(self) -> None:
        self._tally = ReportTally()
        self._report: ReportAssembly | None = None
        self._deadly_open: DeadlyAssembly | None = None
        self._indent = 0
        self._matches_left = 0
        self._announced: int | None = None
        self._fatal: list[str] = []
        self._deadly: list[Deadly] = []
        self._suppressions: dict[str, int] = {}
        self._unparsed: list[str] = []
        self._unparsed_lines = 0
        self._foreign_lines = 0

    def feed(self, line: str) -> None:
        """Take one line, with or without its line end."""
        if (
            self._report is None
            and self._deadly_open is None
            and not self._matches_left
            and "Sanitizer" not in line
            and "==" not in line
            and "ERROR: " not in line
        ):
            self._foreign_lines += bool(line.strip())
            return
        line = _clean(line)
        if self._report is not None and self._report.closing:
            # Two separators stand between two whole reports; a header right after the first one cuts a report off.
            self._close_report(ended=_HEADER.search(line) is None)
        if self._report is not None:
            self._inside(self._report, line[self._indent :] if line[: self._indent].isspace() else line)
        elif self._deadly_open is not None:
            self._inside_deadly(self._deadly_open, line)
        else:
            self._outside(line)

    def result(self) -> Parsed:
        """Return the result; a report that is still open counts, marked as cut off."""
        cut_off = self._report is not None and not (self._report.ended or self._report.closing)
        self._close_report(ended=not cut_off)
        self._close_deadly()
        return self._tally.parsed(
            announced=self._announced,
            fatal=tuple(self._fatal),
            deadly=tuple(self._deadly),
            suppressions=dict(self._suppressions),
            unparsed_lines=self._unparsed_lines,
            unparsed=tuple(self._unparsed),
            foreign_lines=self._foreign_lines,
            cut_off=cut_off,
        )

    def _outside(self, line: str) -> None:
        if self._matches_left and (found := _MATCH.match(line)) is not None:
            self._matches_left -= 1
            self._suppression(found["suppression"].strip(), int(found["count"]))
        elif not self._starts(line) and not self._known(line):
            if "ThreadSanitizer" in line:
                self._not_understood(line)
            elif line.strip() and not line.endswith(SEPARATOR):
                self._foreign_lines += 1

    def _starts(self, line: str) -> bool:
        """Open a report if the line is the first of one."""
        found = _HEADER.search(line)
        if found is not None:
            self._close_report()
            self._close_deadly()
            before = line[: found.start()]
            self._indent = len(before) if before.isspace() else 0
            self._report = ReportAssembly(found["type"], int(found["pid"]))
            return True
        found = _DEADLY.search(line)
        if found is not None:
            self._close_report()
            self._close_deadly()
            self._deadly_open = DeadlyAssembly(
                kind=found["kind"],
                pid=int(found["pid"]),
                address=int(found["address"], 16) if found["address"] else None,
                tid=int(found["tid"]),
            )
            return True
        return False

    def _known(self, line: str) -> bool:
        """Take a line that stands for itself, inside a report or outside."""
        found = _ANNOUNCED.search(line)
        if found is not None:
            self._announced = (self._announced or 0) + int(found["count"])
            return True
        found = _MATCHED.search(line)
        if found is not None:
            self._matches_left = int(found["count"])
            return True
        if _KNOWN_NOISE.search(line):
            return True
        if _INFRASTRUCTURE.search(line):
            if len(self._fatal) < FATAL_MAX:
                self._fatal.append(line.strip()[:TEXT_CHARS_MAX])
            return True
        return False

    def _inside(self, report: ReportAssembly, line: str) -> None:
        frame = FRAME_START.match(line)
        if frame is not None:
            report.frame(parse_frame(line[frame.end() :]), int(frame["number"]))
        elif not line.strip():
            pass
        elif line.endswith(SEPARATOR) and not line.endswith(SEPARATOR + "="):
            if len(line) > len(SEPARATOR):
                self._foreign_lines += 1
            report.closing = True
            if report.ended:
                self._close_report(ended=True)
        elif (found := _SUMMARY.search(line)) is not None:
            report.summary = found["text"].strip()[:TEXT_CHARS_MAX]
            report.ended = True
        elif not report.section(line) and not self._starts(line) and not self._known(line):
            self._stray(report, line)

    def _stray(self, report: ReportAssembly, line: str) -> None:
        """Take a line that is not the runtime's, or one that began in the middle of such a line."""
        frame = FRAME_START.search(line)
        if frame is not None:
            self._foreign_lines += 1
            report.frame(parse_frame(line[frame.end() :]), int(frame["number"]))
        elif line.startswith("  ") and not report.ended:
            self._not_understood(line)
        elif line.strip() != ":":  # The rest of a header with other output inside.
            self._foreign_lines += 1

    def _inside_deadly(self, deadly: DeadlyAssembly, line: str) -> None:
        frame = FRAME_START.match(line)
        if frame is not None:
            deadly.frame(parse_frame(line[frame.end() :]))
        elif (found := _SUMMARY.search(line)) is not None:
            deadly.summary = found["text"].strip()[:TEXT_CHARS_MAX]
        elif (found := _DEADLY_ACCESS.search(line)) is not None:
            deadly.access = None if found["access"] == "UNKNOWN" else found["access"]
        elif "==ABORTING" in line:
            self._close_deadly()
        elif self._starts(line):
            pass
        elif (found := _PROCESS_LINE.match(line)) is not None:
            if found["text"].startswith("Hint: "):
                deadly.hint(found["text"].removeprefix("Hint: ").strip()[:TEXT_CHARS_MAX])
            elif found["text"].startswith(("ERROR: ", "WARNING: ", "FATAL: ")):
                self._known(line)
        elif not self._known(line) and line.strip() and not _REGISTERS.match(line):
            self._foreign_lines += 1

    def _suppression(self, name: str, count: int) -> None:
        if name in self._suppressions or len(self._suppressions) < SUPPRESSIONS_MAX:
            self._suppressions[name] = self._suppressions.get(name, 0) + count

    def _not_understood(self, line: str) -> None:
        self._unparsed_lines += 1
        if len(self._unparsed) < 20:
            self._unparsed.append(line.strip()[:TEXT_CHARS_MAX])

    def _close_report(self, *, ended: bool = False) -> None:
        if self._report is not None:
            self._tally.add(self._report.report(cut_off=not (ended or self._report.ended)))
            self._report = None
            self._indent = 0

    def _close_deadly(self) -> None:
        if self._deadly_open is not None:
            if len(self._deadly) < DEADLY_MAX:
                self._deadly.append(self._deadly_open.deadly())
            self._deadly_open = None


def parse_lines(lines: Iterable[str]) -> Parsed:
    """Return what the lines hold. Never raises for what is in them."""
    parser = Parser()
    for line in lines:
        parser.feed(line)
    return parser.result()


def parse_file(path: Path) -> Parsed:
    """Return what a file holds, read as a stream; raise `OSError` when it cannot be read."""
    with path.open("rb") as file:
        return parse_lines(text_lines(file))


def text_lines(file: BinaryIO, *, bytes_max: int = LINE_BYTES_MAX) -> Iterator[str]:
    """Yield the lines of a binary stream as text; the rest of a line beyond `bytes_max` is left out."""
    while line := file.readline(bytes_max):
        if len(line) == bytes_max and not line.endswith(b"\n"):
            while (rest := file.readline(bytes_max)) and not rest.endswith(b"\n"):
                pass
            line += b"\n"
        yield line.decode("utf-8", "replace")


def _clean(line: str) -> str:
    line = line.rstrip("\r\n")
    if "\x1b" in line:
        line = _ESCAPES.sub("", line)
    if line.startswith("20") and (stamp := _STAMP.match(line)) is not None:
        line = line[stamp.end() :]
    return line
