"""Reports as findings of an attempt: what raced, in which operation, submitted by which thread in which iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stress.diagnose.tsan.names import Origin
from stress.diagnose.tsan.names import naming_frame
from stress.diagnose.tsan.names import origin
from stress.diagnose.tsan.names import short_name
from stress.diagnose.tsan.report import Frame
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.report import Report
from stress.diagnose.tsan.report import Stack
from stress.model.finding import Finding
from stress.model.verdict import Verdict
from stress.sanitizer.python.in_flight import Doing
from stress.sanitizer.python.in_flight import InFlight

KERNEL_FILE = "on-device.kernel"
CALL_FILE = "torch.call"
"""As which file `harness/preload/in_flight.cpp` names the frame of an operation: on a stream's thread, or its caller's."""
ANNOUNCING = "mps_stress_in_flight_access"
FINDINGS_MAX = 20
FRAMES_SHOWN = 3


def findings_of(parsed: Parsed, in_flight: InFlight) -> list[Finding]:
    """Return one finding per distinct report, at most `FINDINGS_MAX`."""
    pairs = list(zip(parsed.reports, parsed.signatures, strict=True))[:FINDINGS_MAX]
    return [_finding(report, name, in_flight.of(report)) for report, name in pairs]


def is_foreign(report: Report) -> bool:
    """Whether neither side has a frame of instrumented code.

    libtorch's own threads (autograd's) order each other by atomic counters that the runtime does not see, and free what they
    share through functions that it does: such a report says nothing.
    """
    sides = report.accesses or report.stacks
    if not sides or any(one.lost or not one.frames for one in sides):
        return False
    frames = [frame for one in sides for frame in one.frames if frame.file != CALL_FILE]
    return not any(origin(frame) in (Origin.OURS, Origin.LAYER) for frame in frames)


def without_foreign(parsed: Parsed) -> tuple[Parsed, int]:
    """Return what is about instrumented code, and how many reports are not."""
    own = [one for one in zip(parsed.reports, parsed.signatures, strict=True) if not is_foreign(one[0])]
    foreign = sum(one.count for one in parsed.reports) - sum(one.count for one, _ in own)
    kept = replace(
        parsed,
        reports=tuple(one for one, _ in own),
        signatures=tuple(name for _, name in own),
        total=parsed.total - foreign,
        announced=None if parsed.announced is None else parsed.announced - foreign,
    )
    return kept, foreign


def operation_of(stack: Stack) -> str | None:
    """Return the operation in flight: its frame is the device's own."""
    return next((one.function for one in stack.frames if one.file in (KERNEL_FILE, CALL_FILE)), None)


def _finding(report: Report, name: str, doing: Sequence[Doing]) -> Finding:
    sides = report.accesses or report.stacks
    told = [*doing, *[Doing()] * (len(sides) - len(doing))]
    text = " against ".join(_side(stack, one) for stack, one in zip(sides[:2], told, strict=False))
    place = report.location
    if place is not None and place.name:
        text += f", on {place.name}"
    often = f" ({report.count} reports)" if report.count > 1 else ""
    first = next((one for one in told if one.thread is not None), Doing())
    return Finding(
        Verdict.RACE,
        name,
        f"{text}{often}",
        thread=first.thread,
        iteration=first.iteration,
        trace="\n".join(line for stack in sides[:2] for line in _lines(stack)),
    )


def _side(stack: Stack, doing: Doing) -> str:
    access, operation = stack.access, operation_of(stack)
    frame = naming_frame(stack.frames)
    what = {None: stack.kind, True: "write", False: "read"}[access.write if access is not None else None]
    is_kernel = frame is not None and frame.file == KERNEL_FILE
    where = f"kernel {operation}" if is_kernel else short_name(frame)
    inside = f"in {operation}" if operation is not None and not is_kernel else ""
    context = ", ".join(filter(None, (inside, str(doing))))
    return f"{what} by {where}" + (f" ({context})" if context else "")


def _lines(stack: Stack) -> list[str]:
    """Return the header and the innermost informative frames, our own first."""
    frames = [
        one
        for one in stack.frames
        if origin(one) in (Origin.OURS, Origin.LAYER, Origin.OTHER) and not _announces(one)
    ]
    own = [one for one in frames if origin(one) == Origin.OURS] or frames or list(stack.frames)
    return [stack.header, *(f"  {_frame(one)}" for one in own[:FRAMES_SHOWN])]


def _announces(frame: Frame) -> bool:
    """Whether a frame belongs only to the call that announced a kernel's access."""
    return frame.function == ANNOUNCING or (frame.source or "").rpartition("/")[2].startswith("announce.")


def _frame(frame: Frame) -> str:
    name = short_name(frame)
    if frame.file in (KERNEL_FILE, CALL_FILE):
        return f"{name} ({'kernel' if frame.file == KERNEL_FILE else 'call'})"
    place = frame.source.rpartition("/")[2] if frame.source else frame.module
    return f"{name} {place}" if place else name
