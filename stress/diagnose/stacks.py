"""Read the stacks that faulthandler prints (CPython 3.11-3.14), and summarise them.

A dump may be cut anywhere and be mixed with other threads' output: what cannot be read is left out, never
an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

TEXT_CHARS_MAX = 4_000_000
SUMMARY_FRAMES_MAX = 6

_HEADER = re.compile(
    r"(?P<current>Current thread|Thread) (?P<ident>0x[0-9a-fA-F]{1,16})"
    r"(?: \[(?P<name>[^\]\n]{0,64})\])? \((?P<note>[^)\n]{0,40})\):$"
)
_BARE_HEADER = re.compile(r"Stack \(most recent call first\):$")
_C_HEADER = re.compile(r"Current thread's C stack trace \(most recent call first\):$")
_FRAME = re.compile(
    r'  File (?P<file>"[^\n]*"|\?\?\?), line (?P<line>\d{1,9}|\?\?\?) in (?P<function>[^\n]*)$'
)
_C_FRAME = re.compile(r'  Binary file "(?P<file>[^"\n]*)"(?:, at (?P<place>[^\n]*))?$')
_CUT = frozenset({"  ...", "  <truncated rest of calls>"})
_WRAPPER = re.compile(
    r"/stress/child/|/threading\.py$|/torch/_dynamo/|/torch/_compile\.py$|/torch/utils/_pytree\.py$|/torch/_ops\.py$"
)
# A new dump starts: faulthandler prints one of these before the first thread of some dumps.
_DUMP_START = re.compile(r"Timeout \(\d{1,9}:\d{2}:\d{2}(?:\.\d{1,6})?\)!$|Fatal Python error: ")


@dataclass(frozen=True)
class StackFrame:
    file: str
    line: int | None
    function: str

    def __str__(self) -> str:
        return f"{self.function} ({self.file}:{'?' if self.line is None else self.line})"


@dataclass
class ThreadStack:
    """One thread of a dump; frames are innermost first."""

    ident: int | None
    """The thread's `threading.get_ident()`; None in a dump without it."""
    name: str | None = None
    """Printed by newer Pythons only."""
    current: bool = False
    """This thread crashed, or asked for the dump."""
    frames: list[StackFrame] = field(default_factory=list)
    c_frames: list[str] = field(default_factory=list)
    """Native frames (Python 3.14), as "file at symbol+offset"."""

    @property
    def telling_frames(self) -> list[StackFrame]:
        """Return the frames without those of the crew and of wrappers, which are the same in every stack."""
        return [one for one in self.frames if not _WRAPPER.search(one.file)] or self.frames


def parse_dumps(text: str) -> list[list[ThreadStack]]:
    """Return every dump in `text`, oldest first, each a list of threads in the order printed."""
    dumps: list[list[ThreadStack]] = []
    threads: list[ThreadStack] = []
    thread: ThreadStack | None = None
    native = False
    for raw in text[-TEXT_CHARS_MAX:].splitlines():
        line = raw.rstrip()
        header = _header(line)
        if header is not None or _DUMP_START.match(line):
            if header is None or any(header.ident == other.ident for other in threads):
                threads = []  # The same thread again: the next dump, even where nothing announces it.
            thread, native = header, False
            if header is not None:
                if not threads:
                    dumps.append(threads)
                threads.append(header)
        elif _C_HEADER.match(line):
            thread, native = _current(threads), True
        elif thread is not None and not _body(thread, line, native=native):
            thread = None
    return dumps


def parse_stacks(text: str) -> list[ThreadStack]:
    """Return the threads of the last dump in `text`; empty when there is none."""
    dumps = parse_dumps(text)
    return dumps[-1] if dumps else []


def summarise(stacks: Sequence[ThreadStack], *, frames_max: int = SUMMARY_FRAMES_MAX) -> str:
    """Return a short text: identical stacks once, with how many threads have them, most frequent first.

    Frames of the crew and of wrappers are counted, not shown.
    """
    groups: dict[tuple[StackFrame, ...], list[ThreadStack]] = {}
    for stack in stacks:
        groups.setdefault(tuple(stack.telling_frames), []).append(stack)
    lines: list[str] = []
    for frames, members in sorted(groups.items(), key=lambda group: -len(group[1])):
        count = "1 thread" if len(members) == 1 else f"{len(members)} threads"
        names = [stack.name for stack in members if stack.name]
        shown = f" ({', '.join(names[:4])}{', ...' if len(names) > 4 else ''})" if names else ""
        current = " [current]" if any(stack.current for stack in members) else ""
        lines.append(f"{count}{shown}{current}:")
        lines += [f"  {frame}" for frame in frames[:frames_max]] or ["  no Python frame"]
        hidden = max(len(stack.frames) for stack in members) - len(frames[:frames_max])
        if hidden:
            lines.append(f"  ... {hidden} more")
        native = next((stack.c_frames for stack in members if stack.c_frames), [])
        lines += [f"  native: {frame}" for frame in native[:frames_max]]
    return "\n".join(lines)


def is_noise(line: str) -> bool:
    """Return whether a line of stderr is part of a faulthandler dump and means nothing alone."""
    line = line.rstrip()
    return bool(
        _header(line)
        or _DUMP_START.match(line)
        or _C_HEADER.match(line)
        or _FRAME.match(line)
        or _C_FRAME.match(line)
        or line in _CUT
        or re.match(r"  <|  Garbage-collecting$|Extension modules: |\.\.\.$", line)
    )


def _header(line: str) -> ThreadStack | None:
    found = _HEADER.match(line)
    if found is not None:
        return ThreadStack(
            ident=int(found["ident"], 16), name=found["name"] or None, current=found["current"] != "Thread"
        )
    return ThreadStack(ident=None, current=True) if _BARE_HEADER.match(line) else None


def _current(threads: Sequence[ThreadStack]) -> ThreadStack | None:
    return next((thread for thread in threads if thread.current), None)


def _body(thread: ThreadStack, line: str, *, native: bool) -> bool:
    """Add a line to the thread it belongs to; return whether it belongs to it."""
    if line in _CUT:
        return True
    if native:
        found = _C_FRAME.match(line)
        if found is not None:
            thread.c_frames.append(f"{found['file']} at {found['place'] or '?'}")
        return found is not None or line.startswith("  <")
    found = _FRAME.match(line)
    if found is not None:
        number = None if found["line"] == "???" else int(found["line"])
        thread.frames.append(StackFrame(found["file"].strip('"'), number, found["function"]))
    return found is not None or line.startswith("  <") or line == "  Garbage-collecting"
