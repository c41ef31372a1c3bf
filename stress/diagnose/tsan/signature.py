"""Name a report so that the same fault has the same name in every build.

The name holds the kind, for each side the innermost function of our own code, and the global variable where it is one:
no addresses, lines, template arguments or lambda numbers, and the sides in alphabetical order, because either thread
may come first. clang 14 and 19 give equal names; GCC prints no classes, so its names are shorter.
"""

from __future__ import annotations

from stress.diagnose.tsan.names import naming_frame
from stress.diagnose.tsan.names import short_name
from stress.diagnose.tsan.names import stable_name
from stress.diagnose.tsan.report import Deadly
from stress.diagnose.tsan.report import Report
from stress.diagnose.tsan.report import Stack

UNKNOWN = "?"
SIGNATURE_CHARS_MAX = 400


def signature(report: Report) -> str:
    """Return the report's name, such as "tsan/data-race Pool::put <> Pool::take on free_list"."""
    sides = [one for one in report.stacks if one.access is not None or one.kind == "lock"]
    if sides:
        names = sorted(_side(one) for one in sides)
        if len(names) == 1 and report.accesses:
            names.append(UNKNOWN)  # Cut off before the other side.
        text = " <> ".join(names) + _variable(report)
    elif report.kind == "thread-leak":
        text = short_name(naming_frame(report.threads[0].frames)) if report.threads else UNKNOWN
    else:
        text = _side(report.stacks[0]) if report.stacks else UNKNOWN
    return f"tsan/{report.kind} {text}"[:SIGNATURE_CHARS_MAX]


def deadly_signature(deadly: Deadly) -> str:
    """Return the name of a deadly signal, such as "tsan/segv Pool::take"."""
    return f"tsan/{deadly.kind.lower()} {short_name(naming_frame(deadly.frames))}"[:SIGNATURE_CHARS_MAX]


def _variable(report: Report) -> str:
    """Distinguish races of one function on different variables: knowing one must not hide the other."""
    location = report.location
    if location is None or location.kind != "global" or location.name is None:
        return ""
    return f" on {stable_name(location.name)}"


def _side(stack: Stack) -> str:
    return short_name(naming_frame(stack.frames))
