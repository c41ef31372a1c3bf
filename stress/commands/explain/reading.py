"""Find out what a file is by looking into it, and explain it: streams, whatever their length, in flat memory."""

from __future__ import annotations

import re
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from stress.commands.explain.explanation import Explanation
from stress.commands.explain.proposal import propose_frames
from stress.commands.explain.proposal import propose_race
from stress.commands.explain.proposal import propose_text
from stress.diagnose import diagnose
from stress.diagnose.ips import FILE_BYTES_MAX
from stress.diagnose.ips import IpsError
from stress.diagnose.ips import read_ips
from stress.diagnose.signatures import TEXT_CHARS_MAX
from stress.diagnose.signatures import SignatureMatch
from stress.diagnose.signatures import default_signatures
from stress.diagnose.signatures import find_all
from stress.diagnose.tsan.parser import Parser
from stress.diagnose.tsan.parser import text_lines
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.signature import deadly_signature
from stress.record.schema import KINDS

HEAD_BYTES = 64 * 1024
PROPOSALS_MAX = 3

_JSON_KIND = re.compile(rb'"kind":\s{0,4}"([a-z_-]{1,40})"')
_CRASH_REPORT = re.compile(rb'"(?:bug_type|incident_id|procName|faultingThread)"\s{0,4}:')
_HANG = re.compile(r"^Timeout \(\d|^Call graph:$|^Analysis of sampling ", re.MULTILINE)
_GENERIC = "tool/tsan"
"""The signature that only says that there is a report."""


def _kind_of(head: bytes, name: str) -> str:
    start = head.lstrip()
    if name.endswith(".ips"):
        return "crash-report"
    if not start.startswith(b"{"):
        return "text"
    found = _JSON_KIND.search(start.partition(b"\n")[0])
    kind = found[1].decode() if found is not None else ""
    if kind in KINDS:
        return "records"
    if kind and b'"stacks"' in start:
        return "tsan-json"
    return "crash-report" if _CRASH_REPORT.search(start) else "text"


def _crash_report(name: str, file: BinaryIO, path: Path | None) -> Explanation:
    if path is None:
        with tempfile.NamedTemporaryFile(suffix=".ips") as copy:
            copy.write(file.read(FILE_BYTES_MAX + 1))
            copy.flush()
            return _crash_report(name, file, Path(copy.name))
    try:
        report = read_ips(path)
    except IpsError as error:
        return Explanation(name, "crash-report", headline=f"not usable: {error.reason}")
    # 1: an exit status from which nothing follows; that of the process is not in the report.
    diagnosis = diagnose(stderr="", exit_status=1, reports=[report])
    text = "\n".join([*report.asi, report.termination, report.exception])
    found = find_all(text, report.frames, report.signal, fault=report.exception)
    known = _first(found, diagnosis.signature)
    proposals: tuple[str, ...] = ()
    if not known:
        said = [one for one in report.asi if one in diagnosis.headline]
        entry = propose_text(said[0], text, report.signal) if said else None
        if entry is None and report.frames:
            entry = propose_frames(report.frames, report.signal)
        proposals = (entry,) if entry is not None else ()
    return Explanation(
        name, "crash-report", headline=diagnosis.headline, known=known, proposals=proposals, crash=report
    )


class _Ends:
    """Keeps the beginning and the end of a text that may have any length."""

    def __init__(self) -> None:
        self._head: list[str] = []
        self._head_chars = 0
        self._tail: deque[str] = deque()
        self._tail_chars = 0

    def add(self, line: str) -> None:
        if self._head_chars < TEXT_CHARS_MAX:
            self._head.append(line)
            self._head_chars += len(line)
        elif not line.isspace():
            self._tail.append(line)
            self._tail_chars += len(line)
            while self._tail_chars > TEXT_CHARS_MAX:
                self._tail_chars -= len(self._tail.popleft())

    @property
    def text(self) -> str:
        return "".join([*self._head, *self._tail])


def explain_text(name: str, file: BinaryIO, head: bytes = b"") -> Explanation:
    """Explain a text that a process left; `head` is its beginning, where it may be no text at all."""
    parser, ends = Parser(), _Ends()
    for line in text_lines(file):
        parser.feed(line)
        ends.add(line)
    parsed, text = parser.result(), ends.text
    if parsed.is_tsan:
        return _tsan(name, "tsan", parsed, text)
    if not text.strip():
        return Explanation(
            name, "empty", headline="empty: it shows neither a finding nor that there was none"
        )
    hang = name.endswith(".stacks") or _HANG.search(text) is not None
    stacks = text if hang else ""
    found = find_all(text, stacks=stacks)
    if not found and _is_binary(head):
        return Explanation(name, "binary", headline="not a text, and nothing in it is known")
    diagnosis = diagnose(stderr=text, exit_status=1, stacks=stacks, hang=hang)
    known = _first(found, diagnosis.signature)
    # A hang's headline is a sentence of ours, which no file will ever hold.
    entry = propose_text(diagnosis.headline, text) if diagnosis.headline and not known and not hang else None
    proposals = (entry,) if entry is not None else ()
    return Explanation(name, "text", headline=diagnosis.headline, known=known, proposals=proposals)


def _tsan(name: str, kind: str, parsed: Parsed, text: str) -> Explanation:
    names = [*parsed.signatures, *(deadly_signature(one) for one in parsed.deadly)]
    found = find_all("\n".join([*names, text]))
    if parsed.total:
        found = [one for one in found if one.signature.id != _GENERIC]
    unknown = [one for one in parsed.signatures if known_race(one) is None]
    return Explanation(
        name,
        kind,
        headline=parsed.fatal[0] if parsed.fatal else "",
        parsed=parsed,
        known=tuple(found),
        proposals=tuple(propose_race(one) for one in unknown[:PROPOSALS_MAX]),
    )


def known_race(signature: str) -> SignatureMatch | None:
    """Return the known failure that a report is, by its name."""
    return next(iter(find_all(signature)), None)


def _first(found: Sequence[SignatureMatch], name: str | None) -> tuple[SignatureMatch, ...]:
    """Return what was found, the one that names the failure first; it may follow from no text at all."""
    if name is not None and all(one.signature.id != name for one in found):
        found = [*(SignatureMatch(one, "") for one in default_signatures() if one.id == name), *found]
    return tuple(sorted(found, key=lambda one: one.signature.id != name))


def _is_binary(head: bytes) -> bool:
    """Whether a text editor would call it binary: zero bytes, or mostly what no text has."""
    if b"\0" in head:
        return True
    text = head.decode("utf-8", "replace")
    strange = sum(one == "\ufffd" or (ord(one) < 32 and one not in "\t\n\r\x1b\f\b") for one in text)
    return strange * 10 > len(text)
