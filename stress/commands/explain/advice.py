"""Advice on what to look at next, from a report alone: who holds which lock, whose memory it is, what is missing."""

from __future__ import annotations

from collections.abc import Iterator

from stress.diagnose.tsan.names import Origin
from stress.diagnose.tsan.names import naming_frame
from stress.diagnose.tsan.names import origin
from stress.diagnose.tsan.names import short_name
from stress.diagnose.tsan.report import MAIN_THREAD
from stress.diagnose.tsan.report import Report
from stress.diagnose.tsan.report import Stack

_BY_KIND = {
    "data-race-vptr": (
        "One thread destroys (or still makes) the object while another calls a virtual function of it: end the calls first, "
        "for example by joining the thread before the destructor begins."
    ),
    "heap-use-after-free": (
        "One thread frees what another still uses: who owns it, and what should have kept it alive until the other was done?"
    ),
    "heap-use-after-free-vptr": (
        "One thread frees an object while another calls a virtual function of it: what should have kept it alive?"
    ),
    "lock-order-inversion": (
        "No deadlock has happened yet. Take these locks in one order everywhere, take them together with std::scoped_lock, or "
        "let go of the first before taking the second."
    ),
    "thread-leak": "The thread was neither joined nor detached.",
    "locked-mutex-destroy": "The mutex dies while it is held: who holds it, and does its owner end too early?",
    "mutex-double-lock": "It is locked by a thread while another (or the same one) holds it.",
    "mutex-invalid-access": "The mutex is used before it was made or after it was destroyed: look at the end of its owner.",
    "mutex-bad-unlock": "The unlocking thread does not hold it: an unlock too many, or a lock that was taken by another thread.",
    "mutex-bad-read-lock": "It is locked for reading by the thread that holds it for writing.",
    "mutex-bad-read-unlock": "It is held for writing and given back as if for reading.",
    "signal-unsafe-call": "A signal handler may only call async-signal-safe functions: set a flag and do the work elsewhere.",
    "errno-in-signal-handler": "The handler has to save errno at its start and restore it at its end.",
    "external-race": "The object is of a type that allows one thread at a time; neither call is ordered before the other.",
}


def advice(report: Report) -> list[str]:
    """Return sentences, the most useful first."""
    return [*_shortcomings(report), *_locks(report), *_kind(report), *_object(report), *_origin(report)]


def _kind(report: Report) -> Iterator[str]:
    text = _BY_KIND.get(report.kind)
    if text is not None:
        yield text


def _shortcomings(report: Report) -> Iterator[str]:
    if report.cut_off:
        yield "The report is cut off: this is all that was printed."
    if any(one.lost for one in report.stacks):
        yield "A stack was lost: TSAN_OPTIONS=history_size=64 keeps more of them."
    frames = [frame for stack in report.stacks for frame in stack.frames]
    if frames and all(one.function is None for one in frames):
        yield (
            "No function has a name: the symbolizer was missing (package llvm-19, or external_symbolizer_path=...), "
            "and so suppressions by function did not work."
        )


def _locks(report: Report) -> Iterator[str]:
    sides = report.accesses
    if report.kind not in ("data-race", "external-race") or len(sides) != 2:
        return
    if any(one.access is not None and one.access.atomic for one in sides):
        yield "One side is atomic, the other is a plain access: it takes both sides to be atomic, or one lock."
    first, second = (_held(one) for one in sides)
    if first is None or second is None:
        return
    common = set(first) & set(second)
    if common:
        yield f"Both hold {', '.join(sorted(common))}, but for reading at least on one side: a writer needs it exclusively."
    elif first and second:
        yield (
            f"They hold different locks ({', '.join(sorted(first))}; {', '.join(sorted(second))}), which exclude nothing: "
            "decide which one guards this object."
        )
    elif first or second:
        with_lock, without = (sides[0], sides[1]) if first else (sides[1], sides[0])
        yield (
            f"{_where(with_lock)} holds {', '.join(sorted(first or second))}, {_where(without)} holds no lock: does it belong "
            "there too?"
        )
    else:
        yield "Neither side holds a lock: decide what guards this object, or make it atomic or one per thread."


def _held(stack: Stack) -> list[str] | None:
    if stack.access is None or stack.access.mutexes is None:
        return None
    return [one.rpartition(" ")[2] for one in stack.access.mutexes]


def _where(stack: Stack) -> str:
    return short_name(naming_frame(stack.frames))


def _object(report: Report) -> Iterator[str]:
    location = report.location
    if location is not None and location.kind == "stack":
        owner = "the main thread" if location.thread in (MAIN_THREAD, None) else f"T{location.thread}"
        yield f"It lies on the stack of {owner}: somebody passed its address to another thread."
    if location is not None and location.kind == "tls":
        yield "It is thread-local: its address left its thread."
    if location is not None and location.kind == "fd":
        yield "It is a file descriptor that is closed or reopened while another thread uses it."
    if any(one.kind == "sleep" for one in report.stacks):
        yield "Only a sleep keeps the two apart: that orders nothing."
    workers = [one.id for one in report.threads if one.worker]
    if workers:
        yield "A worker of Grand Central Dispatch takes part: which queue, and is it serial?"


def _origin(report: Report) -> Iterator[str]:
    best = [origin(frame) for stack in report.accesses if (frame := naming_frame(stack.frames)) is not None]
    if best and all(one is not Origin.OURS for one in best):
        yield (
            "No frame of either stack has a source line: the code is not instrumented, so that its locks and hand-overs may "
            "be invisible and the report false."
        )
