"""What a line of a record means: six kinds of JSON objects, one per line, each with the schema version.

A reader keeps unknown keys, skips unknown kinds and refuses a version it does not know, so a new version
is needed only when the meaning of something that exists changes. `results/README.md` tells the same to a
stranger. Times are seconds since 1970 (UTC), durations are seconds, sizes are bytes.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable
from collections.abc import Mapping
from typing import Annotated
from typing import Any
from typing import Literal
from typing import NotRequired
from typing import Required
from typing import TypedDict
from typing import Union
from typing import get_args
from typing import get_origin
from typing import get_type_hints

from stress.verdict import Verdict

SCHEMA_VERSION = 1

Kind = Literal["run", "attempt_start", "attempt_end", "item", "journal", "run_end"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Role = Literal["crew", "control", "reference"]
"""Who ran in the child: the crew, the one-thread control of a failing item, or the sequential references."""

SideFile = Annotated[str, "side file"]
"""Plain name of a file beside the record: stderr, stacks, a copied crash report. See `side_name_error`."""

VerdictName = Annotated[str, "verdict"]
"""A value of `stress.verdict.Verdict`."""

_SIDE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")


class _Common(TypedDict):
    v: int
    """`SCHEMA_VERSION` of the writer."""
    run: str
    """Run id, equal in all records of one pytest run, whatever process wrote them."""
    time: float
    """When the record was written."""
    lost: NotRequired[int]
    """Records that this process could not write so far (disk full). Absent means none."""
    truncated: NotRequired[list[str]]
    """What was cut from this record to keep the line small, one text per place."""


class RunRecord(_Common):
    """Written once by each process that writes records, before anything else."""

    kind: Literal["run"]
    argv: list[str]
    rootdir: str
    seed: int
    """Root seed: every other seed follows from it and the item."""
    device: str
    device_reason: NotRequired[str]
    simulated: bool
    """True on the simulated device: such a record proves the framework, never a real backend."""
    sim: NotRequired[dict[str, object] | None]
    """The simulated device: design, faults that are switched on, schedule, and the library's key and SHA-256."""
    settings: dict[str, object]
    environment: dict[str, object]
    """`stress.record.host_environment()`."""
    torch: NotRequired[dict[str, object] | None]
    """`stress.record.torch_fingerprint.fingerprint()`, taken in a child; None when that child failed."""
    torch_mismatches: NotRequired[list[str]]
    """Why this torch is not the build that was asked for, when the user overrode that error."""
    worker: NotRequired[str | None]
    """pytest-xdist worker that wrote this, such as "gw0"."""


class AttemptStart(_Common):
    """On disk (fsync) before the child exists: a start without an end is a panic or a killed parent."""

    kind: Literal["attempt_start"]
    item: str
    """pytest node id. (item, role, attempt) names an attempt within its run."""
    role: Role
    attempt: int
    """Counts from 0 within item and role."""
    serial: NotRequired[int]
    """Counts from 1 through all children of the run, whatever they are for: RUN/17 names an attempt by it."""
    scenario: str
    params: dict[str, object]
    threads: int
    iterations: int
    seed: int
    command: str
    """Command line that repeats this attempt."""
    env: NotRequired[dict[str, str]]
    perturb: NotRequired[str]
    readback: NotRequired[str]
    """When outputs are read back: an axis of the attempt, because reading serialises."""
    simulated: NotRequired[bool]
    """As in the run record, so that no line of it can be taken for a real backend's. Absent means false."""


class AttemptEnd(_Common):
    """What became of an attempt. A later one for the same attempt with `amends` replaces it."""

    kind: Literal["attempt_end"]
    item: str
    role: Role
    attempt: int
    serial: NotRequired[int]
    verdict: VerdictName
    seconds: float
    headline: str
    """The one line of native text or oracle text that a maintainer needs; empty for a plain pass."""
    exit_status: NotRequired[int | None]
    """As `subprocess` has it: negative is a signal number of the machine that wrote this."""
    signal: NotRequired[str | None]
    """Name such as "SIGABRT": numbers differ between systems."""
    signature: NotRequired[str | None]
    """Id of a known failure (`results/known/`), if its text was recognised."""
    tainted: NotRequired[bool]
    """The device reported a fault: no value after it can be trusted, whatever the exit status."""
    amends: NotRequired[bool]
    notes: NotRequired[list[str]]
    findings: NotRequired[list[dict[str, object]]]
    """Wrong values and exceptions, each with thread, iteration, name (torn, stale, ...) and indices."""
    stamps: NotRequired[list[dict[str, object]]]
    """Last black-box stamp of each thread: thread, iteration, phase, op."""
    iterations_done: NotRequired[int]
    stderr: NotRequired[SideFile | None]
    stacks: NotRequired[SideFile | None]
    reports: NotRequired[list[SideFile]]
    memory_bytes_max: NotRequired[int | None]
    device_memory_bytes_max: NotRequired[int | None]
    os_threads_max: NotRequired[int | None]
    cpu_s: NotRequired[float | None]
    device_order: NotRequired[str]
    """Hash of all work in the order in which the simulated device ran it, where that order repeats by seed."""
    strikes: NotRequired[dict[str, int]]
    """Seeded fault of the simulated device -> how often it struck; absent where the child did not live to tell."""
    simulated: NotRequired[bool]


class ItemRecord(_Common):
    """An item's verdict over all its attempts."""

    kind: Literal["item"]
    item: str
    verdict: VerdictName
    seconds: float
    attempts: int
    counted: int
    """Attempts whose verdict enters a rate."""
    failures: int
    verdicts: dict[str, int]
    control_attempts: NotRequired[int]
    control_failures: NotRequired[int]
    headline: NotRequired[str]
    simulated: NotRequired[bool]


class JournalRecord(_Common):
    """An ordinary test is about to run inside the writing process, which it may kill."""

    kind: Literal["journal"]
    item: str
    simulated: NotRequired[bool]


class RunEnd(_Common):
    """The last record of a process that ended by itself; its absence says that it was killed."""

    kind: Literal["run_end"]
    seconds: float
    exit_status: int | None
    verdicts: dict[str, int]
    """Item verdict -> how many."""
    simulated: NotRequired[bool]


Record = RunRecord | AttemptStart | AttemptEnd | ItemRecord | JournalRecord | RunEnd

_TYPES: dict[Kind, type] = {
    "run": RunRecord,
    "attempt_start": AttemptStart,
    "attempt_end": AttemptEnd,
    "item": ItemRecord,
    "journal": JournalRecord,
    "run_end": RunEnd,
}


def side_name_error(name: str) -> str | None:
    """Return why `name` may not name a side file, or None: it must stay inside its run folder."""
    if not _SIDE_NAME.fullmatch(name):
        return f"side file {name[:80]!r} is not a plain file name (letters, digits, '.', '_', '+', '-')"
    if ".." in name or name.endswith(".jsonl"):
        return f"side file {name[:80]!r} may neither contain '..' nor end in .jsonl"
    return None


def check(record: Mapping[str, object]) -> str | None:
    """Return what is wrong with a record of a known kind and version, or None. Unknown keys are fine."""
    kind = record.get("kind")
    for field, (required, accepts, expected) in _FIELDS[_known_kind(kind)].items():
        if field not in record:
            if required:
                return f"{kind} record without {field!r}"
            continue
        if not accepts(record[field]):
            return f"{kind} record: {field!r} is {_shown(record[field])}, expected {expected}"
    return None


def _known_kind(kind: object) -> Kind:
    for known in KINDS:
        if kind == known:
            return known
    raise ValueError(f"unknown kind of record: {_shown(kind)}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_Check = Callable[[object], bool]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_SCALARS: dict[object, _Check] = {
    int: _is_int,
    float: lambda value: isinstance(value, float) or _is_int(value),
    str: lambda value: isinstance(value, str),
    bool: lambda value: isinstance(value, bool),
    object: lambda value: True,
    type(None): lambda value: value is None,
    SideFile: lambda value: isinstance(value, str) and side_name_error(value) is None,
    VerdictName: lambda value: isinstance(value, str) and value in frozenset(Verdict),
}
_EXPECTED: dict[object, str] = {SideFile: "a plain file name", VerdictName: "a verdict", type(None): "null"}


def _checker(hint: Any) -> _Check:
    """Return the predicate of one of the few annotations that this module uses."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin = get_origin(hint)
    arguments = get_args(hint)
    if origin in (Required, NotRequired):
        return _checker(arguments[0])
    if origin is Literal:
        return lambda value: isinstance(value, str) and value in arguments
    if origin in (Union, types.UnionType):
        options = [_checker(argument) for argument in arguments]
        return lambda value: any(accepts(value) for accepts in options)
    inner = _checker(arguments[-1])
    if origin is list:
        return lambda value: isinstance(value, list) and all(map(inner, value))
    if origin is dict:
        return lambda value: isinstance(value, dict) and all(map(inner, value.values()))
    raise TypeError(f"no check for annotation {hint}")


def _expected(hint: Any) -> str:
    if get_origin(hint) in (Required, NotRequired):
        return _expected(get_args(hint)[0])
    if hint in _EXPECTED:
        return _EXPECTED[hint]
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_expected(argument) for argument in get_args(hint))
    return (
        hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
    )


def _fields(record_type: type) -> dict[str, tuple[bool, _Check, str]]:
    hints = get_type_hints(record_type, include_extras=True)
    return {
        name: (get_origin(hint) is not NotRequired, _checker(hint), _expected(hint))
        for name, hint in hints.items()
    }


_FIELDS = {kind: _fields(record_type) for kind, record_type in _TYPES.items()}
