"""The allocation: which entries are attempted, and how the seconds are shared between them. Plain data.

It holds two answers. Where the fault is known, as for the mutants of MC Mutants, each of which is run with the test made for it,
the seconds go to the entries that earlier records show to kill it (`allocation.toml`). Where nothing is known of it
(`--blind`), every fault gets the same entries, in shares that follow from their costs alone (`blind.toml`).

A share is of the seconds that fault-free attempts take. Attempts are dealt out by it, not seconds: an
entry that hangs on a fault would otherwise be the one that is attempted less because it has found something.
"""

from __future__ import annotations

import json
import math
import random
import tomllib
from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

from stress.child.perturb import MODES
from stress.device.sim.zoo import BY_NAME
from stress.model.errors import UserError
from stress.model.spec import READBACKS

ALLOCATION_FILE = "allocation.toml"
"""Side file of a run with the allocation that it used, so that `benchmarks.power_learn` can read both."""
DEFAULT_PATH = Path(__file__).with_name(ALLOCATION_FILE)
BLIND_PATH = Path(__file__).with_name("blind.toml")
"""The entries where nothing is known of the fault: no record of one took part in it."""
ROTATE = "rotate"
"""Modes and readbacks take turns over the attempts, as in an ordinary run."""
LEVELS = ("low", "high")
NATIVE = "native::"
"""What the scenario of an entry begins with that names a case of the native suite."""
ENTRIES_MAX = 1000


class AllocationError(UserError):
    """An allocation that cannot be used; the text names the file, the entry and what is wrong."""


@dataclass(frozen=True)
class Entry:
    """One way of running one scenario."""

    scenario: str
    """File and class below the scenario folder, as in `linear.py::SharedLinear`, or `native::` and a case of the native suite."""
    params: tuple[tuple[str, str], ...] = ()
    """Name and value of each parameter, the value as in the node id."""
    threads: int = 8
    iterations: int | None = None
    """None: what the scenario says."""
    perturb: str = "none"
    level: str = "low"
    readback: str = "every"
    share: float = 1.0
    """Of the seconds of every fault when nothing is known of it; 0 for an entry that is only for `faults`."""
    seconds: float = 0.25
    """What a fault-free attempt took when the allocation was learned: the median."""
    reference_seconds: float = 0.5
    faults: tuple[str, ...] = ()
    """The faults that records show this entry to kill most per second."""

    @property
    def name(self) -> str:
        """Return what stands in records and tables: everything but share and seconds."""
        file, _, qualname = self.scenario.partition("::")
        parts = [*(value for _, value in self.params), f"t{self.threads}"]
        parts += [f"i{self.iterations}"] if self.iterations is not None else []
        parts += [self.perturb if self.perturb == "none" else f"{self.perturb}.{self.level}", self.readback]
        return f"{file.removesuffix('.py')}::{qualname}[{'-'.join(parts)}]"

    @property
    def is_native(self) -> bool:
        """Whether it is a case of the native suite."""
        return self.scenario.startswith(NATIVE)

    @property
    def period_s(self) -> float:
        """Return how many seconds lie between two attempts of this entry, as long as nothing fails."""
        return self.seconds / self.share if self.share else math.inf

    def to_data(self) -> dict[str, object]:
        """Return what `load` reads."""
        data: dict[str, object] = {"scenario": self.scenario}
        if self.params:
            data["params"] = dict(self.params)
        data["threads"] = self.threads
        if self.iterations is not None:
            data["iterations"] = self.iterations
        data |= {"perturb": self.perturb, "level": self.level, "readback": self.readback}
        if self.faults:
            data["faults"] = list(self.faults)
        return data | {
            "share": round(self.share, 4),
            "seconds": round(self.seconds, 3),
            "reference_seconds": round(self.reference_seconds, 3),
        }


def load(path: Path = DEFAULT_PATH) -> tuple[Entry, ...]:
    """Return the entries of an allocation file; raise `AllocationError`."""
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise AllocationError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AllocationError(f"{path} is not TOML: {error}") from None
    rows = data.get("entry")
    if not isinstance(rows, list) or not 0 < len(rows) <= ENTRIES_MAX:
        raise AllocationError(f"{path}: expected 1 to {ENTRIES_MAX} [[entry]] tables")
    entries = []
    for number, row in enumerate(rows, 1):
        try:
            entries.append(_entry(row))
        except (TypeError, ValueError) as error:
            raise AllocationError(f"{path}: entry {number}: {error}") from None
    names = [one.name for one in entries]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise AllocationError(f"{path}: {twice} appears twice: add up its shares")
    return tuple(entries)


def _entry(row: Any) -> Entry:
    if not isinstance(row, dict):
        raise TypeError("expected a table")
    known = set(Entry.__dataclass_fields__)
    unknown = set(row) - known
    if unknown:
        raise ValueError(f"unknown {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    params = row.get("params", {})
    if not isinstance(params, Mapping):
        raise TypeError("params must be a table")
    faults = tuple(row.get("faults", ()))
    strange = [one for one in faults if one not in BY_NAME]
    if strange:
        raise ValueError(f"faults names {strange[0]!r}, which is not in the zoo")
    pairs = tuple((str(key), str(value)) for key, value in params.items())
    entry = Entry(**{**row, "params": pairs, "faults": faults})
    file, separator, qualname = str(entry.scenario).partition("::")
    is_native = file + separator == NATIVE
    if not qualname or not (
        is_native or (file.endswith(".py") and "/" not in file and not file.startswith("."))
    ):
        raise ValueError(f"scenario {entry.scenario!r}: expected FILE.py::CLASS or {NATIVE}CASE")
    for name, choices in (
        ("perturb", (*MODES, ROTATE)),
        ("level", LEVELS),
        ("readback", (*READBACKS, ROTATE)),
    ):
        if getattr(entry, name) not in choices:
            raise ValueError(f"{name} is {getattr(entry, name)!r}: choose one of {', '.join(choices)}")
    for name in ("threads", "iterations"):
        value = getattr(entry, name)
        if value is not None and (not isinstance(value, int) or not 1 <= value <= 10**6):
            raise ValueError(f"{name} is {value!r}: expected a whole number of at least 1")
    for name in ("share", "seconds", "reference_seconds"):
        value = getattr(entry, name)
        if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{name} is {value!r}: expected a number of seconds, or a share")
    if not entry.seconds or not (entry.share or entry.faults):
        raise ValueError("seconds, and share or faults, must be given: leave the entry out instead")
    return entry


def with_threads(entries: Sequence[Entry], threads: int) -> tuple[Entry, ...]:
    """Return the entries with the thread count that the user asked for."""
    return tuple(replace(one, threads=threads) for one in entries)


def focused(entries: Sequence[Entry], fault: str) -> tuple[Entry, ...]:
    """Return the entries that records name for this fault, with equal shares; all of them where there is none."""
    own = [one for one in entries if fault in one.faults]
    return tuple(replace(one, share=1.0 / len(own)) for one in own) if own else blind(entries)


def blind(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries that are attempted when nothing is known of the fault.

    Scenarios and the native suite are two instruments, and nothing says which of them sees it: each gets half.
    """
    chosen = [one for one in entries if one.share]
    stages: dict[bool, float] = defaultdict(float)
    for one in chosen:
        stages[one.is_native] += one.share
    return tuple(replace(one, share=one.share / stages[one.is_native] / len(stages)) for one in chosen)


def spread(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries with the shares that they get where nothing is known: by their costs alone.

    With equal numbers of attempts a single expensive entry would take the time of ten cheap ones; with equal seconds it
    would hardly be attempted. Between the two, attempts go by one over the root of the cost, and so seconds by the root.
    """
    total = sum(math.sqrt(one.seconds) for one in entries)
    return tuple(replace(one, share=math.sqrt(one.seconds) / total) for one in entries)


def dump(entries: Sequence[Entry], comment: str) -> str:
    """Return the text of an allocation file."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    for one in entries:
        lines += ["", "[[entry]]"]
        for key, value in one.to_data().items():
            lines.append(f"{key} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value)


class Turns:
    """Whose turn it is: each entry comes up once in its period, from a random phase.

    The phase makes the expected number of attempts of every entry the same in any stretch of time, so that
    no fault gains or loses by where its entry stands in the list, and its kill rate is constant.
    """

    def __init__(self, entries: Sequence[Entry], seed: int) -> None:
        draw = random.Random(seed)
        self._periods_s = [one.period_s for one in entries]
        self._due_s = [draw.random() * period_s for period_s in self._periods_s]

    def next(self) -> int:
        """Return the index of the entry to attempt now."""
        index = min(range(len(self._due_s)), key=self._due_s.__getitem__)
        self._due_s[index] += self._periods_s[index]
        return index

    def drop(self, index: int) -> None:
        """Never return this entry again: it cannot run."""
        self._due_s[index] = math.inf

    @property
    def is_empty(self) -> bool:
        return all(due_s == math.inf for due_s in self._due_s)
