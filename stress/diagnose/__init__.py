"""Name a failure: its signature, its meaning, and the one line of native text that a maintainer needs."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

from stress.diagnose.ips import CrashReport
from stress.diagnose.ips import IpsError
from stress.diagnose.ips import default_folders
from stress.diagnose.ips import find_reports
from stress.diagnose.ips import read_ips
from stress.diagnose.signature_file import Signature
from stress.diagnose.signature_file import SignatureError
from stress.diagnose.signatures import SignatureMatch
from stress.diagnose.signatures import bounded
from stress.diagnose.signatures import default_signatures
from stress.diagnose.signatures import find_all
from stress.diagnose.signatures import load_signatures
from stress.diagnose.signatures import match
from stress.diagnose.signatures import match_all
from stress.diagnose.stacks import ThreadStack
from stress.diagnose.stacks import is_noise
from stress.diagnose.stacks import parse_stacks
from stress.diagnose.stacks import summarise

__all__ = [
    "CrashReport",
    "Diagnosis",
    "IpsError",
    "Signature",
    "SignatureError",
    "default_folders",
    "diagnose",
    "find_reports",
    "load_signatures",
    "match",
    "match_all",
    "parse_stacks",
    "read_ips",
    "signal_name",
    "summarise",
]

HEADLINE_CHARS_MAX = 500

# asi texts that name the mechanism of the end, not its reason.
_EMPTY_ASI = re.compile(r"abort\(\) called$|crashed on child side of fork")
_TRACEBACK = re.compile(
    r"Traceback \(most recent call last\):|Exception in thread |Exception ignored in|"
    r"During handling of the above exception|The above exception was the direct cause|"
    r"\[W\d{3,4}"
)
_WARNING = re.compile(r":\d{1,9}: \w{0,80}Warning: ")


@dataclass(frozen=True)
class Diagnosis:
    """All that is known about how an attempt's process ended."""

    signature: str | None
    """Id of the known failure, or None: an unknown one."""
    meaning: str
    """One sentence for a user; empty when unknown."""
    links: tuple[str, ...]
    next: str
    """What to try; may be empty."""
    headline: str
    """One line for a report; empty for a process that ended normally and printed nothing."""
    taints: bool
    """The device reported a fault: no value after it can be trusted, whatever the exit status."""
    signal_name: str | None


def diagnose(
    *,
    stderr: str,
    exit_status: int,
    reports: Sequence[CrashReport] = (),
    stacks: str = "",
    hang: bool = False,
    body_finished: bool = False,
    signatures: Sequence[Signature] | None = None,
) -> Diagnosis:
    """Return the diagnosis of what a process left behind.

    `exit_status` is `subprocess`'s (negative: killed by that signal); `stacks` are those collected at the
    deadline of a hang, after which the supervisor killed the process itself; `body_finished` says that the
    scenario's own code had ended before the process did.
    """
    known = default_signatures() if signatures is None else signatures
    # After a hang the signal is the supervisor's own and means nothing.
    ended_by = None if hang else signal_name(exit_status)
    ended_by = ended_by or next((each.signal for each in reports if each.signal), None)
    text = "\n".join([stderr, *(line for report in reports for line in _report_texts(report))])
    found = find_all(text, stacks=stacks if hang else "", signatures=known)
    for report in reports:
        by_frames = find_all("", report.frames, report.signal, fault=report.exception, signatures=known)
        # A crash's frames say more than where other threads waited.
        found = [*(each for each in found if each.signature.pattern), *by_frames, *found]
    condition = _condition(exit_status, reports=reports, hang=hang, body_finished=body_finished)
    if not found and condition is not None:
        found = [SignatureMatch(each, "") for each in known if each.condition == condition]
    first = found[0] if found else None
    headline = (
        first.line
        if first and first.line
        else _headline(stderr, ended_by, exit_status, reports, stacks, hang)
    )
    return Diagnosis(
        signature=first.signature.id if first else None,
        meaning=first.signature.meaning if first else "",
        links=first.signature.links if first else (),
        next=first.signature.next if first else "",
        headline=_one_line(headline),
        taints=any(each.signature.taints for each in found) or _tainted(stderr, known),
        signal_name=ended_by,
    )


def _tainted(stderr: str, known: Sequence[Signature]) -> bool:
    """Search all of the text, not only its ends as for a name: a fault amid much output makes green worthless."""
    return any(each.pattern.search(stderr) is not None for each in known if each.taints and each.pattern)


def signal_name(exit_status: int) -> str | None:
    """Return the name of the signal that ended a process, None when none did."""
    if exit_status >= 0:
        return None
    try:
        return signal.Signals(-exit_status).name
    except ValueError:
        return f"signal {-exit_status}"


def _condition(
    exit_status: int, *, reports: Sequence[CrashReport], hang: bool, body_finished: bool
) -> str | None:
    if hang:
        return None  # The supervisor's own kill.
    if exit_status == -signal.SIGKILL:
        return "sigkill-not-ours"
    if exit_status < 0 and body_finished:
        return "signal-after-body"
    if exit_status == 0 and reports:
        return "report-after-exit-0"
    return None


def _report_texts(report: CrashReport) -> Iterator[str]:
    yield from report.asi
    yield report.termination
    yield report.exception


def _headline(
    stderr: str,
    ended_by: str | None,
    exit_status: int,
    reports: Sequence[CrashReport],
    stacks: str,
    hang: bool,
) -> str:
    for report in reports:
        for text in report.asi:
            if not _EMPTY_ASI.search(text):
                return text
    last = _last_words(stderr)
    if hang:
        where = _waiting(parse_stacks(stacks or stderr))
        return f"no end before the deadline{where}" + (f"; last line on stderr: {last}" if last else "")
    if last:
        return last
    for report in reports:
        return " in ".join([report.exception or "crash report without an exception", *report.frames[:1]])
    if ended_by is not None:
        current = next((each for each in parse_stacks(stderr) if each.current and each.frames), None)
        where = f"; Python was in {current.frames[0]}" if current else ""
        return f"killed by {ended_by}, no text on stderr{where}"
    return f"ended with status {exit_status}, no text on stderr" if exit_status else ""


def _last_words(stderr: str) -> str:
    """Return the last informative line: no traceback, no stack dump, nothing indented."""
    for line in reversed(bounded(stderr).splitlines()):
        if not line.strip() or line[0].isspace() or is_noise(line):
            continue
        if not _TRACEBACK.match(line) and not _WARNING.search(line):
            return line
    return ""


def _waiting(threads: Sequence[ThreadStack]) -> str:
    """Return where most threads are, as an addition to a headline."""
    places: dict[str, int] = {}
    for thread in threads:
        if thread.frames:
            places[str(thread.frames[0])] = places.get(str(thread.frames[0]), 0) + 1
    if not places:
        return ""
    place = max(places, key=lambda name: places[name])
    return f"; {places[place]} of {len(threads)} threads in {place}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= HEADLINE_CHARS_MAX else f"{line[: HEADLINE_CHARS_MAX - 3]}..."
