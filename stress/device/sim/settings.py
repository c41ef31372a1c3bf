"""The user's settings of the simulated device: design, faults, schedule. Imports no torch and no pytest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass

from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import DESIGN_DEFAULT
from stress.device.sim.zoo import DESIGNS

SCHEDULES = ("free", "random", "pct")
PCT_DEPTH_DEFAULT = 3
PCT_DEPTH_MAX = 100
WINDOW_US_MAX = 1_000_000
"""A second: a longer pause would be taken for a hang."""
_FAULT_FORM = "expected NAME[/twin][:PROBABILITY[:WINDOW_US]], as in allocator_free_list:0.01:50"


@dataclass(frozen=True)
class ArmedFault:
    """One fault that is switched on, or its twin, which makes the same random draws but takes the safe path."""

    name: str
    twin: bool
    probability: float
    window_us: int

    def __str__(self) -> str:
        """Return the form that `--mps-sim-faults` reads."""
        return f"{self.name}{'/twin' if self.twin else ''}:{self.probability!r}:{self.window_us}"

    @property
    def configure_text(self) -> str:
        """Return the form that the device's configure() reads."""
        return f"{self.name}:{self.probability!r}:{self.window_us}{'/twin' if self.twin else ''}"

    @property
    def told(self) -> str:
        """Return its description for the user."""
        window = f", window {self.window_us} us" if self.window_us else ""
        kind = " (the twin: it takes the safe path; " if self.twin else " ("
        return f"{self.name}{kind}probability {self.probability:g}{window})"


@dataclass(frozen=True)
class SimSettings:
    """The behaviour of a run's simulated device."""

    design: str = DESIGN_DEFAULT
    faults: tuple[ArmedFault, ...] = ()
    schedule: str = "free"
    """"free" leaves the order to the operating system; the others make the device's order repeatable."""
    schedule_depth: int = PCT_DEPTH_DEFAULT

    @property
    def schedule_text(self) -> str:
        return f"pct:{self.schedule_depth}" if self.schedule == "pct" else self.schedule

    def configure_text(self) -> str:
        """Return the text for the device's configure(), without the seeds, which differ by attempt."""
        parts = [f"design={self.design}", f"schedule={self.schedule}"]
        if self.schedule == "pct":
            parts.append(f"schedule_depth={self.schedule_depth}")
        if self.faults:
            parts.append("faults=" + ",".join(one.configure_text for one in self.faults))
        return ";".join(parts)

    def command_options(self) -> list[str]:
        """Return the options that repeat these settings."""
        options = [f"--mps-sim-design={self.design}"]
        if self.faults:
            options.append("--mps-sim-faults=" + ",".join(map(str, self.faults)))
        if self.schedule != "free":
            options.append(f"--mps-sim-schedule={self.schedule_text}")
        return options

    def to_data(self) -> dict[str, object]:
        return {
            "design": self.design,
            "faults": [asdict(one) for one in self.faults],
            "schedule": self.schedule_text,
        }


def parse_faults(text: str) -> tuple[ArmedFault, ...]:
    """Return the faults that `text` switches on; raise `ValueError` with the way out."""
    faults = tuple(_parse_fault(part.strip()) for part in text.split(","))
    names = [one.name for one in faults]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is named twice: name a fault or its twin, once")
    return faults


def _parse_fault(text: str) -> ArmedFault:
    name_part, *values = text.split(":")
    name, slash, twin = name_part.partition("/")
    if not name or len(values) > 2 or (slash and twin != "twin"):
        raise ValueError(f"{_FAULT_FORM}; {text!r} is not of that form")
    fault = BY_NAME.get(name)
    if fault is None:
        raise ValueError(f"there is no fault {name!r}; known are {', '.join(BY_NAME)}")
    probability = _number(values[0], "probability") if values else fault.probability
    if not 0 < probability <= 1:  # false for nan
        raise ValueError(f"the probability of {name} is {values[0]}: expected above 0 and at most 1")
    window_us = fault.window_us
    if len(values) == 2:
        if not (values[1].isascii() and values[1].isdigit() and int(values[1][:20]) <= WINDOW_US_MAX):
            raise ValueError(
                f"the window of {name} is {values[1]}: expected whole microseconds, at most {WINDOW_US_MAX}"
            )
        window_us = int(values[1])
    return ArmedFault(name, bool(slash), probability, window_us)


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a {what}: {_FAULT_FORM}") from None


def choose_design(faults: Sequence[ArmedFault], wanted: str | None) -> str:
    """Return the design to simulate: the requested one, else the faults' own, else the default.

    A fault is a bug of one design's code: on another one it could never strike, and its green result would
    be worth nothing. Raise `ValueError` if that, or two faults of different designs, is requested.
    """
    if wanted is not None and wanted not in DESIGNS:
        raise ValueError(f"choose one of {', '.join(DESIGNS)}")
    of_faults = {one.name: BY_NAME[one.name].design for one in faults}
    told = ", ".join(f"{name} is a bug of design {design}" for name, design in of_faults.items())
    if len(set(of_faults.values())) > 1:
        raise ValueError(f"faults of different designs do not go together: {told}; run them separately")
    if wanted is not None and of_faults and wanted not in of_faults.values():
        raise ValueError(f"{told}, and needs that design: leave --mps-sim-design out")
    return wanted or next(iter(of_faults.values()), DESIGN_DEFAULT)


def parse_schedule(text: str) -> tuple[str, int]:
    """Return (schedule, depth); raise `ValueError` with the way out."""
    name, colon, depth = text.partition(":")
    expected = f"expected free, random, pct or pct:DEPTH with a depth of 1 to {PCT_DEPTH_MAX}"
    if name not in SCHEDULES or (colon and name != "pct"):
        raise ValueError(expected)
    if not colon:
        return name, PCT_DEPTH_DEFAULT
    if not (depth.isascii() and depth.isdigit() and 1 <= int(depth[:20]) <= PCT_DEPTH_MAX):
        raise ValueError(expected)
    return name, int(depth)
