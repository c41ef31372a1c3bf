"""One ThreadSanitizer report as a person wants to read it: both sides next to each other, our own frames first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence

from rich.console import Group
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from stress.commands.explain.advice import advice
from stress.diagnose.tsan.names import Origin
from stress.diagnose.tsan.names import origin
from stress.diagnose.tsan.names import short_name
from stress.diagnose.tsan.report import MAIN_THREAD
from stress.diagnose.tsan.report import Deadly
from stress.diagnose.tsan.report import Frame
from stress.diagnose.tsan.report import Location
from stress.diagnose.tsan.report import Report
from stress.diagnose.tsan.report import Stack
from stress.model.text import one_line

FRAMES_SHOWN = 8
THREADS_SHOWN = 6
SIDES_PER_ROW = 2
PATH_PARTS_SHOWN = 2


def report_view(report: Report, title: str, known: Sequence[str]) -> RenderableType:
    """Return one report; `title` and the sentences about its signature are the caller's."""
    parts: list[RenderableType] = [Text(title, style="bold red")]
    rows = [("object", _location(report.location, report))] if report.location is not None else []
    rows += [("mutex", text) for text in _mutexes(report)]
    rows += [("thread", text) for text in _threads(report)]
    sides = [one for one in report.stacks if one.kind != "held"] or [
        Stack("event", one.frames, header=f"{_thread(one.id, report)} was created", thread=one.id)
        for one in report.threads[:1]
    ]
    parts += [
        _side_by_side(sides[start : start + SIDES_PER_ROW], report)
        for start in range(0, len(sides), SIDES_PER_ROW)
    ]
    rows += [("look at", text) for text in advice(report)]
    rows += [("known", text) for text in known]
    parts.append(facts(rows))
    return Group(*parts)


def deadly_view(deadly: Deadly, title: str) -> RenderableType:
    """Return a signal that ended the process."""
    access = {"READ": "reading", "WRITE": "writing"}.get(deadly.access or "", "an access")
    where = f" {access} address 0x{deadly.address:x}" if deadly.address is not None else ""
    rows = [("signal", f"{deadly.kind}{where}"), *(("hint", text) for text in deadly.hints)]
    return Group(
        Text(title, style="bold red"),
        Text("\n".join(_frame_lines(deadly.frames, indent="  "))),
        facts(rows),
    )


def facts(rows: Sequence[tuple[str, str]]) -> RenderableType:
    """Return lines of a word and a sentence; a word is not repeated."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold", ratio=1)
    before = ""
    for word, text in rows:
        table.add_row(Text(f"  {word if word != before else '':8}"), Text(one_line(text, chars_max=1000)))
        before = word
    return table


def _side_by_side(sides: Sequence[Stack], report: Report) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for _ in range(SIDES_PER_ROW):
        table.add_column(ratio=1, overflow="fold")
    cells = [_side(one, report) for one in sides]
    table.add_row(*cells, *[Text("")] * (SIDES_PER_ROW - len(cells)))
    return table


def _side(stack: Stack, report: Report) -> Text:
    text = Text()
    text.append(f"  {one_line(_headline(stack, report))}\n", style="bold")
    text.append("\n".join(_frame_lines(stack.frames, indent="    ", lost=stack.lost)))
    text.append("\n")
    return text


def _headline(stack: Stack, report: Report) -> str:
    who = _thread(stack.thread, report)
    access = stack.access
    if access is not None:
        how = f"{'atomic ' if access.atomic else ''}{'write' if access.write else 'read'}"
        what = f"of {access.size} bytes" if access.size is not None else f"of {access.object_type}"
        if access.mutexes is None:
            held = "locks not recorded"
        else:
            held = f"holding {_held(access.mutexes)}" if access.mutexes else "no lock held"
        if access.previous and report.kind.startswith("heap-use-after-free"):
            return f"freed by {who}, {held}"
        return f"{'earlier ' if access.previous else ''}{how} {what} by {who}, {held}"
    if stack.kind == "lock":
        return f"{who} takes {stack.mutex} while it holds {stack.holding}"
    if stack.kind == "sleep":
        return "kept apart by this sleep alone"
    if stack.header == "and":
        return "and before"
    if report.signal is not None:
        return f"handler of signal {report.signal}"
    return stack.header or "here"


def _held(mutexes: Sequence[str]) -> str:
    """Return "M0, M1 (read)" for "write M0, read M1"."""
    names = []
    for one in mutexes:
        how, _, name = one.rpartition(" ")
        names.append(f"{name} (read)" if how == "read" else name)
    return ", ".join(names)


def _frame_lines(frames: Sequence[Frame], indent: str, *, lost: bool = False) -> list[str]:
    """Return our own frames, or the best there are; then what else the stack has, in one line."""
    if lost or not frames:
        return [f"{indent}(the runtime no longer had this stack)"]
    best = min(origin(one) for one in frames)
    shown = [one for one in frames if origin(one) is best][:FRAMES_SHOWN]
    lines = []
    top = frames[0]
    if origin(top) is Origin.RUNTIME and best is not Origin.RUNTIME and top.function is not None:
        lines.append(f"{indent}{one_line(short_name(top))}, called by")
    for one in shown:
        place = _place(one)
        lines.append(f"{indent}{one_line(short_name(one))}{f'  {one_line(place)}' if place else ''}")
    if len(frames) > len(shown):
        lines.append(f"{indent}+ {_rest(frames, shown)}")
    return lines


def _rest(frames: Sequence[Frame], shown: Sequence[Frame]) -> str:
    names = {
        Origin.OURS: "of our own",
        Origin.LAYER: "simulated Metal",
        Origin.OTHER: "without source",
        Origin.SYSTEM: "library",
        Origin.RUNTIME: "sanitizer",
        Origin.NAMELESS: "nameless",
    }
    counts = Counter(origin(one) for one in frames)
    counts[origin(shown[0])] -= len(shown)
    rest = [f"{count} {names[kind]}" for kind, count in sorted(counts.items()) if count > 0]
    return f"{', '.join(rest)} {'frame' if len(frames) - len(shown) == 1 else 'frames'}"


def _place(frame: Frame) -> str:
    source = frame.source
    if source is None:
        return f"({frame.module})" if frame.module else ""
    return "/".join(source.split("/")[-PATH_PARTS_SHOWN:])


def _thread(number: int | None, report: Report) -> str:
    if number is None:
        return "a thread"
    if number == MAIN_THREAD:
        return "the main thread"
    named = next((one.name for one in report.threads if one.id == number and one.name), None)
    return f"T{number} '{named}'" if named else f"T{number}"


def _location(location: Location | None, report: Report) -> str:
    if location is None:
        return ""
    size = f", {location.size} bytes" if location.size is not None else ""
    if location.kind == "global":
        where = f" in {location.module}" if location.module else ""
        return f"global {location.name or '(no name)'}{size}{where}"
    if location.kind == "heap":
        made = next((one for one in location.frames if origin(one) <= Origin.OTHER), None)
        place = f" in {short_name(made)} {_place(made)}" if made is not None else ""
        return f"{location.object_type or 'heap block'}{size}, allocated by {_thread(location.thread, report)}{place}"
    if location.kind == "fd":
        return f"file descriptor {location.fd}, of {_thread(location.thread, report)}"
    kind = {"stack": "stack", "tls": "thread-local storage"}.get(location.kind, location.kind)
    return f"{kind} of {_thread(location.thread, report)}"


def _mutexes(report: Report) -> Iterator[str]:
    for one in report.mutexes:
        made = next((frame for frame in one.frames if origin(frame) <= Origin.OTHER), None)
        if made is not None:
            yield f"{one.id}: first seen in {short_name(made)} {_place(made)}"
        elif one.destroyed:
            yield f"{one.id}: destroyed by now"


def _threads(report: Report) -> Iterator[str]:
    for one in report.threads[:THREADS_SHOWN]:
        state = "running" if one.running else "finished"
        if one.worker:
            yield f"{_thread(one.id, report)} ({state}), a worker of Grand Central Dispatch"
            continue
        made = next((frame for frame in one.frames if origin(frame) <= Origin.OTHER), None)
        place = f" in {short_name(made)} {_place(made)}" if made is not None else ""
        yield f"{_thread(one.id, report)} ({state}), created by {_thread(one.parent, report)}{place}"
    if report.similar:
        yield f"and {report.similar} more like it"
    if len(report.threads) > THREADS_SHOWN:
        yield f"and {len(report.threads) - THREADS_SHOWN} more"
