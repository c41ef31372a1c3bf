"""Read a harness's `--list` and its account of a run: JSON lines on stdout, from a program that may be broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stress.model.errors import UserError

DETECTORS = ("tsan", "metal", "invariant")
CANARY = "canary"
HISTORY_CANARY = "canary_history"
GUARDED_TWIN = "guarded_twin"
CANARIES = (CANARY, HISTORY_CANARY)
CONTROLS = (*CANARIES, GUARDED_TWIN)
ITERATIONS_DEFAULT = 50
"""Of each thread of a native case."""
PLATFORMS = ("simulated", "metal", "core")


class ListingError(UserError):
    """The program's list cannot be used; the text says why."""


@dataclass(frozen=True)
class Case:
    """Something that the harness can run."""

    name: str
    about: str
    platforms: tuple[str, ...]
    threads_min: int
    design: str = ""
    """The stream pool that it runs on, where that can be chosen."""


@dataclass(frozen=True)
class Control:
    """A run that checks the detector: a planted race, or its guarded twin."""

    name: str
    about: str
    variable: str


@dataclass(frozen=True)
class NativeFault:
    """A seeded fault, with the detector that must find it, declared before any run."""

    name: str
    case: str
    detector: str
    about: str


@dataclass(frozen=True)
class Listing:
    """All that a program offers, by name."""

    cases: Mapping[str, Case]
    controls: Mapping[str, Control]
    faults: Mapping[str, NativeFault]

    def require_case(self, name: str) -> Case:
        """Return the case; raise `ListingError` with the known names."""
        if name in self.controls:
            raise ListingError(
                f"{name} is a control, which runs automatically before every case: name a case"
            )
        if name not in self.cases:
            raise ListingError(f"there is no case {name!r}; known are {', '.join(self.cases)}")
        return self.cases[name]

    def require_fault(self, name: str) -> NativeFault:
        """Return the fault; raise `ListingError` with the known names."""
        if name not in self.faults:
            known = ", ".join(self.faults) or "none"
            raise ListingError(f"there is no fault {name!r}; known are {known}")
        return self.faults[name]


def read_listing(text: str) -> Listing:
    """Return what `--list` printed; raise `ListingError`."""
    cases: dict[str, Case] = {}
    controls: dict[str, Control] = {}
    faults: dict[str, NativeFault] = {}
    for data in objects(text):
        try:
            name, about = str(data["name"]), str(data.get("about", ""))
            if data["kind"] == "case":
                platforms = tuple(map(str, data["platforms"]))
                cases[name] = Case(
                    name, about, platforms, int(data.get("threads_min", 1)), str(data.get("design", ""))
                )
            elif data["kind"] == "control":
                controls[name] = Control(name, about, str(data.get("variable", "")))
            elif data["kind"] == "fault":
                faults[name] = NativeFault(name, str(data["case"]), str(data["detector"]), about)
        except (KeyError, TypeError, ValueError) as error:
            raise ListingError(f"a line of --list cannot be read ({error!r}): {str(data)[:200]}") from None
    if not cases:
        raise ListingError("--list names no case")
    missing = [name for name in CONTROLS if name not in controls]
    if missing:
        raise ListingError(
            f"--list names no control {', '.join(missing)}, without which no result can be trusted"
        )
    for fault in faults.values():
        if fault.detector not in DETECTORS or fault.case not in cases:
            raise ListingError(
                f"--list: fault {fault.name} has detector {fault.detector!r} and case {fault.case!r}"
            )
    return Listing(cases, controls, faults)


@dataclass(frozen=True)
class Told:
    """The output of a run."""

    start: Mapping[str, Any] | None = None
    end: Mapping[str, Any] | None = None
    violations: tuple[str, ...] = ()
    """Those that were printed, as "invariant: text"; `violations_total` counts all."""
    unavailable: str = ""
    """What the backend of this build lacks, so that the case could not be run; empty where nothing is missing."""
    others: int = 0
    """Lines that are not a JSON object of a known kind."""

    @property
    def violations_total(self) -> int:
        return max(len(self.violations), _integer(self.end, "violations"))

    @property
    def operations(self) -> int:
        return _integer(self.end, "operations")

    @property
    def struck(self) -> int:
        """How often the armed fault took its unsafe path."""
        return _integer(self.end, "struck")

    @property
    def platform(self) -> str:
        """Return one of `PLATFORMS`; empty where the program did not say."""
        value = (self.start or {}).get("platform")
        return value if value in PLATFORMS else ""


def read_told(text: str) -> Told:
    """Return what a run printed on stdout; never raises, since it may end anywhere."""
    start: dict[str, Any] | None = None
    end: dict[str, Any] | None = None
    violations: list[str] = []
    unavailable = ""
    others = 0
    for data in objects(text):
        match data.get("kind"):
            case "start":
                start = data
            case "end":
                end = data
            case "violation":
                violations.append(f"{data.get('invariant', 'unnamed')}: {data.get('text', '')}")
            case "unavailable":
                unavailable = str(data.get("function") or "a function that it does not name")
            case _:
                others += 1
    return Told(start, end, tuple(violations), unavailable, others)


def objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects among the lines; any other line counts as an object without a kind."""
    for line in filter(str.strip, text.splitlines()):
        try:
            data = json.loads(line)
        except (ValueError, RecursionError):
            data = None
        yield data if isinstance(data, dict) else {"kind": None, "name": ""}


def _integer(data: Mapping[str, Any] | None, name: str) -> int:
    value = (data or {}).get(name, 0)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
