"""What the user may ask of `mps-stress throughput`, checked. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress import command_options
from stress.device.operator_patch import Operator
from stress.device.sim.settings import SimSettings
from stress.throughput.catalogue import BY_NAME
from stress.throughput.catalogue import WAYS

SECONDS_DEFAULT = 600
THREADS_DEFAULT = "1,2,4,8,16"
THREADS_MAX = 256


@dataclass(frozen=True)
class ThroughputOptions:
    """Validated options."""

    device: str
    sim: SimSettings
    counts: tuple[int, ...]
    workloads: tuple[str, ...]
    ways: tuple[str, ...]
    against: Path | None
    """The interpreter of the other torch build."""
    seconds: float
    seed: int
    results: Path
    json: bool
    operators: tuple[Operator, ...] = ()

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> ThroughputOptions:
        """Return the options; raise `ValueError` with a sentence that names the option and the way out."""
        return cls(
            device=command_options.device(given["device"]),
            sim=command_options.sim(given["sim_faults"], given["device"]),
            counts=_counts(given["threads"]),
            workloads=_names(given["workloads"], "--workloads", tuple(BY_NAME)),
            ways=_names(given["ways"], "--ways", tuple(WAYS)),
            against=_interpreter(given["against"]),
            seconds=command_options.seconds(given["seconds"]),
            seed=command_options.seed(given["seed"]),
            results=Path(given["results"]).resolve(),
            json=given["json"],
        )

    def to_data(self) -> dict[str, object]:
        """Return what the run record says of them."""
        return {
            "threads": list(self.counts),
            "workloads": list(self.workloads),
            "ways": list(self.ways),
            "against": str(self.against) if self.against else None,
            "seconds": self.seconds,
        }


def _counts(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 1 <= int(part[:9]) <= THREADS_MAX for part in parts):
        raise ValueError(
            f"--threads={text}: expected whole numbers from 1 to {THREADS_MAX}, as in --threads={THREADS_DEFAULT}"
        )
    return tuple(sorted({int(part) for part in parts}))


def _names(text: str | None, option: str, known: Sequence[str]) -> tuple[str, ...]:
    if text is None:
        return tuple(known)
    names = [one.strip() for one in text.split(",")]
    for name in names:
        if name not in known:
            raise ValueError(f"{option}={text}: there is no {name!r}; known are {', '.join(known)}")
    return tuple(one for one in known if one in names)


def _interpreter(text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text)
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise ValueError(
            f"--against={text}: expected the Python interpreter of the other torch build, "
            "as in --against=/path/to/venv/bin/python"
        )
    return path.absolute()  # not resolved: a virtual environment's interpreter is a link out of it
