"""Name a report so that the same fault has the same name in every build.

The name holds the kind and, for each side, the innermost function of our own code: no addresses, lines, template
arguments or lambda numbers, and the sides in alphabetical order, because either thread may come first.
"""

from __future__ import annotations

from stress.sanitizer.names import naming_frame
from stress.sanitizer.names import short_name
from stress.sanitizer.report import Deadly
from stress.sanitizer.report import Report
from stress.sanitizer.report import Stack

UNKNOWN = "?"
SIGNATURE_CHARS_MAX = 400


def signature(report: Report) -> str:
    """Return the report's name, such as "tsan/data-race RoundRobin::next <> RoundRobin::next"."""
    sides = [one for one in report.stacks if one.access is not None or one.kind == "lock"]
    if sides:
        names = sorted(_side(one) for one in sides)
        if len(names) == 1 and report.accesses:
            names.append(UNKNOWN)  # Cut off before the other side.
        text = " <> ".join(names)
    elif report.kind == "thread-leak":
        text = short_name(naming_frame(report.threads[0].frames)) if report.threads else UNKNOWN
    else:
        text = _side(report.stacks[0]) if report.stacks else UNKNOWN
    return f"tsan/{report.kind} {text}"[:SIGNATURE_CHARS_MAX]


def deadly_signature(deadly: Deadly) -> str:
    """Return the name of a deadly signal, such as "tsan/segv Pool::take"."""
    return f"tsan/{deadly.kind.lower()} {short_name(naming_frame(deadly.frames))}"[:SIGNATURE_CHARS_MAX]


def _side(stack: Stack) -> str:
    return short_name(naming_frame(stack.frames))
