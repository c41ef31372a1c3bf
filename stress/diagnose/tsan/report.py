"""The contents of a ThreadSanitizer report, as data.

Two routes fill it: the text that the runtime prints (`parser.py`) and the JSON lines that the harness's own
`__tsan_on_report` writes (`json_lines.py`). What a route cannot know is None. Numbers of threads are TSan's own
(0 is the main thread), addresses are integers, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

MAIN_THREAD = 0

KINDS: Mapping[str, str] = {
    "data race": "data-race",
    "data race on vptr (ctor/dtor vs virtual call)": "data-race-vptr",
    "heap-use-after-free": "heap-use-after-free",
    "heap-use-after-free (virtual call vs free)": "heap-use-after-free-vptr",
    "race on external object": "external-race",
    "thread leak": "thread-leak",
    "destroy of a locked mutex": "locked-mutex-destroy",
    "double lock of a mutex": "mutex-double-lock",
    "use of an invalid mutex (e.g. uninitialized or destroyed)": "mutex-invalid-access",
    "unlock of an unlocked mutex (or by a wrong thread)": "mutex-bad-unlock",
    "read lock of a write locked mutex": "mutex-bad-read-lock",
    "read unlock of a write locked mutex": "mutex-bad-read-unlock",
    "signal-unsafe call inside of a signal": "signal-unsafe-call",
    "signal handler spoils errno": "errno-in-signal-handler",
    "lock-order-inversion (potential deadlock)": "lock-order-inversion",
    "mutex held in the wrong context": "mutex-held-in-wrong-context",
}
"""Words of the text -> words of the debugging API, for every type that LLVM 14 to 19 and GCC 12 know."""

TYPES: Mapping[str, str] = {kind: text for text, kind in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of a stack. None: the symbolizer did not know."""

    function: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None
    module: str | None = None
    """Name of the executable or library, without its folder."""
    offset: int | None = None
    """Bytes from the start of the module."""
    build_id: str | None = None

    @property
    def source(self) -> str | None:
        """File, line and column, as far as they are known."""
        if self.file is None:
            return None
        numbers = [str(one) for one in (self.line, self.column) if one is not None]
        return ":".join([self.file, *numbers])


@dataclass(frozen=True, slots=True)
class Access:
    """One of the two sides of a race."""

    write: bool
    address: int
    size: int | None = None
    """None for an access of a tagged object, which has no size."""
    atomic: bool = False
    previous: bool = False
    object_type: str | None = None
    """Name of the tag that the program gave the object."""
    mutexes: tuple[str, ...] | None = None
    """Locks held, such as "write M0"; None: this route does not provide them (JSON)."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The place where something was done, innermost frame first."""

    kind: str
    """"access", "lock" (of a cycle), "held" (the lock held meanwhile), "event" (misuse of a mutex or in a
    signal handler) or "sleep" (what may have hidden the race until now)."""
    frames: tuple[Frame, ...] = ()
    header: str = ""
    thread: int | None = None
    access: Access | None = None
    mutex: str | None = None
    """The mutex that is locked here, such as "M1"."""
    holding: str | None = None
    """The one that is held meanwhile."""
    lost: bool = False
    """The runtime no longer had this stack (`history_size`)."""


@dataclass(frozen=True, slots=True)
class Location:
    """The object that was raced on."""

    kind: str
    """"heap", "global", "stack", "tls" or "fd"."""
    name: str | None = None
    """Of a global; None where the symbolizer printed '??'."""
    size: int | None = None
    address: int | None = None
    """Where the object starts."""
    thread: int | None = None
    """Who allocated, created or owns it."""
    fd: int | None = None
    object_type: str | None = None
    module: str | None = None
    offset: int | None = None
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Mutex:
    id: str
    address: int | None = None
    frames: tuple[Frame, ...] = ()
    """Where it was created, or first used."""
    destroyed: bool = False


@dataclass(frozen=True, slots=True)
class Thread:
    id: int
    tid: int | None = None
    """The system's number."""
    name: str | None = None
    running: bool = False
    """It had not finished (or was not joined) when the report was made."""
    parent: int | None = None
    worker: bool = False
    """A worker of Grand Central Dispatch, which nobody created by hand."""
    frames: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """One "WARNING: ThreadSanitizer", whole."""

    type: str
    """In TSan's words: "data race", "lock-order-inversion (potential deadlock)", "race on TAG"."""
    pid: int | None = None
    stacks: tuple[Stack, ...] = ()
    locations: tuple[Location, ...] = ()
    mutexes: tuple[Mutex, ...] = ()
    """Of a lock-order inversion: in the order of its cycle."""
    threads: tuple[Thread, ...] = ()
    summary: str | None = None
    similar: int = 0
    """Further thread leaks that the runtime only counted."""
    signal: int | None = None
    cut_off: bool = False
    """The text ended, or another report began, before this one's end."""
    count: int = 1
    """How many reports of this signature there were; all other fields describe the first one."""

    @property
    def kind(self) -> str:
        """The type in one word, such as "data-race"."""
        known = KINDS.get(self.type)
        if known is not None:
            return known
        # A tag's own header: "race on MPSStream" by default, "Swift access race" in Apple's runtime.
        return "external-race" if "race" in self.type else _slug(self.type)

    @property
    def location(self) -> Location | None:
        """The object, the first one that has a name or an address where several are given."""
        named = (one for one in self.locations if one.kind != "global" or one.name is not None)
        return next(named, self.locations[0] if self.locations else None)

    @property
    def accesses(self) -> tuple[Stack, ...]:
        return tuple(one for one in self.stacks if one.access is not None)


@dataclass(frozen=True, slots=True)
class Deadly:
    """A signal that ended the process: TSan prints it, but it is not a report of a race."""

    kind: str
    """"SEGV", "BUS", "FPE", "ILL", "stack-overflow", ..."""
    pid: int | None = None
    address: int | None = None
    tid: int | None = None
    """The system's number of the thread."""
    access: str | None = None
    """"READ" or "WRITE"; None where the runtime did not know."""
    hints: tuple[str, ...] = ()
    frames: tuple[Frame, ...] = ()
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class Parsed:
    """The contents of a text (or a file of JSON lines). `total` counts reports, `reports` are the distinct ones."""

    reports: tuple[Report, ...] = ()
    """The first of each signature, with its count, in order of appearance; `REPORTS_MAX` of them at most."""
    signatures: tuple[str, ...] = ()
    """Of `reports`, in the same order."""
    total: int = 0
    left_out: int = 0
    """Reports of signatures beyond the first `REPORTS_MAX`: counted in `total`, not kept."""
    announced: int | None = None
    """The runtime's own "reported N warnings" (the sum, where several processes wrote)."""
    fatal: tuple[str, ...] = ()
    """Lines in which the runtime reports that it did not work, or not fully: a run with one proves nothing."""
    deadly: tuple[Deadly, ...] = ()
    suppressions: Mapping[str, int] = field(default_factory=dict)
    """Suppression, such as "race:foo" -> how often it matched (with `print_suppressions=1`)."""
    unparsed_lines: int = 0
    """Lines inside a report, or with TSan's name, that this parser does not understand."""
    unparsed: tuple[str, ...] = ()
    """The first few of them."""
    foreign_lines: int = 0
    """Other output."""
    cut_off: bool = False
    """The text ends inside a report."""

    @property
    def is_tsan(self) -> bool:
        """Whether anything in the text is ThreadSanitizer's: if not, "no reports" would mean nothing."""
        return bool(
            self.total
            or self.announced is not None
            or self.fatal
            or self.deadly
            or self.suppressions
            or self.unparsed_lines
        )

    @property
    def complete(self) -> bool:
        """Whether the reports are as many as the runtime says, and each is whole."""
        whole = not self.cut_off and not any(one.cut_off for one in self.reports)
        return whole and self.announced in (None, self.total)


def _slug(text: str) -> str:
    words = "".join(one if one.isalnum() else " " for one in text.lower()).split()
    return "-".join(words)[:60] or "unknown"
