"""Put the sections of one report together, header by header."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace

from stress.diagnose.tsan.report import MAIN_THREAD
from stress.diagnose.tsan.report import Access
from stress.diagnose.tsan.report import Deadly
from stress.diagnose.tsan.report import Frame
from stress.diagnose.tsan.report import Location
from stress.diagnose.tsan.report import Mutex
from stress.diagnose.tsan.report import Report
from stress.diagnose.tsan.report import Stack
from stress.diagnose.tsan.report import Thread

FRAMES_MAX = 300
"""Per stack; the runtime keeps at most 255, and inlining adds to them."""
SECTIONS_MAX = 200
"""Per report: more cannot be genuine, and memory has to stay flat."""

_THREAD = r"(?:main thread|thread T-?\d{1,9})"
_SECTION_START = re.compile(r"  (?=[A-Z]|and:)")
_ACCESS = re.compile(
    rf"  (?P<previous>Previous )?(?P<atomic>[Aa]tomic )?(?P<how>[Ww]rite|[Rr]ead) of size (?P<size>\d{{1,19}})"
    rf" at (?P<address>0x[0-9a-fA-F]{{1,16}}) by (?P<thread>{_THREAD})(?: \(mutexes: (?P<mutexes>[^)]*)\))?"
)
_TAGGED = re.compile(
    rf"  (?P<previous>Previous )?(?P<how>[Mm]odifying|[Rr]ead-only) access of (?P<object>.{{1,200}}?)"
    rf" at (?P<address>0x[0-9a-fA-F]{{1,16}}) by (?P<thread>{_THREAD})(?: \(mutexes: (?P<mutexes>[^)]*)\))?"
)
_GLOBAL = re.compile(
    r"  Location is global '(?P<name>.*)'(?: of size (?P<size>\d{1,19}))? at (?P<address>0x[0-9a-fA-F]{1,16})"
    r"(?: \((?P<module>[^()]*?)\+0x(?P<offset>[0-9a-fA-F]{1,16})\))?"
)
_BLOCK = re.compile(
    rf"  Location is (?P<object>.{{1,200}}?) of size (?P<size>\d{{1,19}}) at (?P<address>0x[0-9a-fA-F]{{1,16}})"
    rf" allocated by (?P<thread>{_THREAD})"
)
_STACK_OR_TLS = re.compile(rf"  Location is (?P<kind>stack|TLS) of (?P<thread>{_THREAD})")
_FILE_DESCRIPTOR = re.compile(
    rf"  Location is file descriptor (?P<fd>-?\d{{1,10}}) (?:(?:created|destroyed) )?by (?P<thread>{_THREAD})"
    rf"|  Location is file descriptor (?P<fd_>-?\d{{1,10}})"
)
_CREATED = re.compile(r"  Mutex (?P<id>M\d{1,20}) \((?P<address>0x[0-9a-fA-F]{1,16})\) created at")
_DESTROYED = re.compile(r"  Mutex (?P<id>M\d{1,20}) is already destroyed")
_LOCK = re.compile(
    rf"  Mutex (?P<id>M\d{{1,20}}) acquired here while holding mutex (?P<holding>M\d{{1,20}}) in (?P<thread>{_THREAD})"
)
_HELD = re.compile(r"  Mutex (?P<id>M\d{1,20}) previously acquired by the same thread here")
_CYCLE = re.compile(r"  Cycle in lock order graph: ")
_CYCLE_MUTEX = re.compile(r"(?P<id>M\d{1,20}) \((?P<address>0x[0-9a-fA-F]{1,16})\)")
_CREATION = re.compile(
    rf"  Thread T(?P<id>-?\d{{1,9}})(?: '(?P<name>.*)')? \(tid=(?P<tid>\d{{1,20}}), (?P<state>running|finished)\)"
    rf"(?: created by (?P<parent>{_THREAD})| is a (?P<worker>GCD worker) thread)?"
)
_SIGNAL = re.compile(r"  Signal (?P<number>\d{1,3}) handler invoked at")
_SIMILAR = re.compile(r"  And (?P<count>\d{1,9}) more similar thread leaks")
_PLAIN = ("  Mutexes held", "  Hint: ")


def _ignore(frames: tuple[Frame, ...]) -> None:
    """Take the frames of a section beyond `SECTIONS_MAX`."""


def _thread_number(text: str) -> int:
    return MAIN_THREAD if text == "main thread" else int(text.removeprefix("thread T"))


class ReportAssembly:
    """One report while its lines come in."""

    def __init__(self, kind: str, pid: int) -> None:
        self.summary: str | None = None
        self.ended = False
        """Its last section is complete."""
        self.closing = False
        """A separator came: the report's end, or, without a summary before it, the next report's beginning."""
        self._type = kind
        self._pid = pid
        self._stacks: list[Stack] = []
        self._locations: list[Location] = []
        self._mutexes: dict[str, Mutex] = {}
        self._threads: list[Thread] = []
        self._similar = 0
        self._signal: int | None = None
        self._frames: list[Frame] = []
        self._store: Callable[[tuple[Frame, ...]], None] | None = None
        """Puts the frames of the open section where they belong."""
        self._sections = 0

    def report(self, *, cut_off: bool) -> Report:
        self._finish()
        return Report(
            type=self._type,
            pid=self._pid,
            stacks=tuple(self._stacks),
            locations=tuple(self._locations),
            mutexes=tuple(self._mutexes.values()),
            threads=tuple(self._threads),
            summary=self.summary,
            similar=self._similar,
            signal=self._signal,
            cut_off=cut_off,
        )

    def frame(self, frame: Frame, number: int) -> None:
        if self.ended:
            return
        # A stack begins with frame 0. Other frames after an empty line continue the stack: something else printed that line.
        if self._store is None or (number == 0 and self._frames):
            self._begin(Stack("event"))  # Misuse of a mutex has no separate header.
        if len(self._frames) < FRAMES_MAX:
            self._frames.append(frame)

    def _begin(self, stack: Stack) -> None:
        self._sections += 1
        if self._sections <= SECTIONS_MAX:
            self._open_stack(stack)
        else:
            self._finish()
            self._store = _ignore

    def section(self, line: str) -> bool:
        """Open the section that this line heads; return whether it is part of a report at all."""
        if line.startswith("    "):
            return self._note(line)
        if _SECTION_START.match(line) is None or self.ended:
            return False
        if self._sections >= SECTIONS_MAX:
            self._finish()
            self._store = _ignore
            return True
        for take in (self._access, self._lock, self._location, self._mutex, self._thread, self._other):
            if take(line):
                self._sections += 1
                return True
        return False

    def _note(self, line: str) -> bool:
        text = line.strip()
        if text.startswith("[failed to restore the stack]"):
            if self._store is None:
                self._begin(Stack("event"))
            self._lost()
            return True
        return text.startswith("Hint: ")

    def _lost(self) -> None:
        stacks_before = len(self._stacks)
        self._finish()
        if len(self._stacks) > stacks_before:
            self._stacks[-1] = replace(self._stacks[-1], lost=True)

    def _finish(self) -> None:
        if self._store is not None:
            self._store(tuple(self._frames))
        self._frames = []
        self._store = None

    def _open_stack(self, stack: Stack) -> None:
        self._finish()
        self._store = lambda frames: self._stacks.append(replace(stack, frames=frames))

    def _access(self, line: str) -> bool:
        found = _ACCESS.match(line) or _TAGGED.match(line)
        if found is None:
            return False
        parts = found.groupdict()
        mutexes = parts["mutexes"]
        access = Access(
            write=parts["how"].lower() in ("write", "modifying"),
            address=int(parts["address"], 16),
            size=int(parts["size"]) if "size" in parts else None,
            atomic=parts.get("atomic") is not None,
            previous=parts["previous"] is not None,
            object_type=parts.get("object"),
            mutexes=tuple(one.strip() for one in mutexes.split(",")) if mutexes else (),
        )
        self._open_stack(
            Stack("access", header=_header(found), thread=_thread_number(parts["thread"]), access=access)
        )
        return True

    def _lock(self, line: str) -> bool:
        found = _LOCK.match(line)
        if found is not None:
            stack = Stack(
                "lock",
                header=_header(found),
                thread=_thread_number(found["thread"]),
                mutex=found["id"],
                holding=found["holding"],
            )
            self._open_stack(stack)
            return True
        found = _HELD.match(line)
        if found is not None:
            thread = self._last_thread()
            self._open_stack(Stack("held", header=_header(found), thread=thread, mutex=found["id"]))
            return True
        if _CYCLE.match(line):
            self._finish()
            for one in _CYCLE_MUTEX.finditer(line):
                self._mutexes[one["id"]] = Mutex(one["id"], address=int(one["address"], 16))
            return True
        return False

    def _last_thread(self) -> int | None:
        self._finish()
        return self._stacks[-1].thread if self._stacks else None

    def _location(self, line: str) -> bool:
        if not line.startswith("  Location is "):
            return False
        location = _read_location(line)
        if location is None:
            return False
        self._finish()
        self._store = lambda frames: self._locations.append(replace(location, frames=frames))
        return True

    def _mutex(self, line: str) -> bool:
        found = _CREATED.match(line)
        if found is not None:
            mutex = Mutex(found["id"], address=int(found["address"], 16))
        else:
            found = _DESTROYED.match(line)
            if found is None:
                return False
            mutex = Mutex(found["id"], destroyed=True)
        self._finish()

        def store(frames: tuple[Frame, ...]) -> None:
            self._mutexes[mutex.id] = replace(mutex, frames=frames)

        self._store = store
        return True

    def _thread(self, line: str) -> bool:
        found = _CREATION.match(line)
        if found is None:
            return False
        thread = Thread(
            id=int(found["id"]),
            tid=int(found["tid"]),
            name=found["name"],
            running=found["state"] == "running",
            parent=_thread_number(found["parent"]) if found["parent"] else None,
            worker=found["worker"] is not None,
        )
        self._finish()
        self._store = lambda frames: self._threads.append(replace(thread, frames=frames))
        return True

    def _other(self, line: str) -> bool:
        found = _SIGNAL.match(line)
        if found is not None:
            self._signal = int(found["number"])
            self._open_stack(Stack("event", header=_header(found)))
            return True
        found = _SIMILAR.match(line)
        if found is not None:
            self._finish()
            self._similar = int(found["count"])
            return True
        if line.startswith("  and:"):
            self._open_stack(Stack("event", header="and"))
            return True
        if line.startswith("  As if synchronized via sleep"):
            self._open_stack(Stack("sleep", header="As if synchronized via sleep"))
            return True
        return line.startswith(_PLAIN)


def _header(found: re.Match[str]) -> str:
    return found[0].strip()


def _read_location(line: str) -> Location | None:
    found = _GLOBAL.match(line)
    if found is not None:
        return Location(
            "global",
            name=None if found["name"] in ("??", "<null>") else found["name"],
            size=int(found["size"]) if found["size"] else None,
            address=int(found["address"], 16),
            module=found["module"],
            offset=int(found["offset"], 16) if found["offset"] else None,
        )
    found = _BLOCK.match(line)
    if found is not None:
        plain = found["object"] == "heap block"
        return Location(
            "heap",
            size=int(found["size"]),
            address=int(found["address"], 16),
            thread=_thread_number(found["thread"]),
            object_type=None if plain else found["object"],
        )
    found = _STACK_OR_TLS.match(line)
    if found is not None:
        return Location(found["kind"].lower(), thread=_thread_number(found["thread"]))
    found = _FILE_DESCRIPTOR.match(line)
    if found is not None:
        thread = _thread_number(found["thread"]) if found["thread"] else None
        return Location("fd", fd=int(found["fd"] or found["fd_"]), thread=thread)
    return None


@dataclass
class DeadlyAssembly:
    """A deadly signal while its lines come in."""

    kind: str
    pid: int
    address: int | None
    tid: int
    access: str | None = None
    summary: str | None = None
    _hints: list[str] = field(default_factory=list)
    _frames: list[Frame] = field(default_factory=list)

    def frame(self, frame: Frame) -> None:
        if len(self._frames) < FRAMES_MAX:
            self._frames.append(frame)

    def hint(self, text: str) -> None:
        if len(self._hints) < SECTIONS_MAX:
            self._hints.append(text)

    def deadly(self) -> Deadly:
        return Deadly(
            kind=self.kind,
            pid=self.pid,
            address=self.address,
            tid=self.tid,
            access=self.access,
            hints=tuple(self._hints),
            frames=tuple(self._frames),
            summary=self.summary,
        )
