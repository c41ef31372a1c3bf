"""What the user may ask of `mps-stress power`, checked. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress import command_options
from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import FAULTS
from stress.device.sim.zoo import Fault

SECONDS_DEFAULT = 1200
THREADS_MAX = 1024
EXPLORE_MAX = 10**6
PEERS = ("pytest-run-parallel",)


@dataclass(frozen=True)
class PowerOptions:
    """Validated options."""

    faults: tuple[Fault, ...]
    seconds: float
    threads: int | None
    seed: int
    probabilities: tuple[float, ...]
    twins: bool
    blind: bool
    """Every fault gets the same shares, as if nothing were known of it."""
    against: str | None
    results: Path
    json: bool
    allocation: Path | None
    explore: int | None
    learn: tuple[Path, ...]

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> PowerOptions:
        """Return the options; raise `ValueError` with a sentence that names the option and the way out."""
        explore = given["explore"]
        options = cls(
            faults=_faults(given["faults"]),
            seconds=command_options.seconds(given["seconds"]),
            threads=command_options.count(given["threads"], "--threads", THREADS_MAX),
            seed=command_options.seed(given["seed"]),
            probabilities=_probabilities(given["probability"]),
            twins=given["twins"],
            blind=given["blind"],
            against=given["against"],
            results=Path(given["results"]).resolve(),
            json=given["json"],
            allocation=Path(given["allocation"]) if given["allocation"] else None,
            explore=command_options.count(explore, "--explore", EXPLORE_MAX),
            learn=tuple(map(Path, given["learn"] or ())),
        )
        if options.explore and options.against:
            raise ValueError(
                "--explore gives no score that could be held against another tool's: leave one out"
            )
        for folder in options.learn:
            if not folder.is_dir():
                raise ValueError(
                    f"--learn {folder}: there is no such folder; give run folders below results/runs"
                )
        return options

    def to_data(self) -> dict[str, object]:
        """Return what the run record says of them."""
        return {
            "faults": [one.name for one in self.faults],
            "seconds": self.seconds,
            "threads": self.threads,
            "probabilities": list(self.probabilities),
            "twins": self.twins,
            "blind": self.blind,
            "against": self.against,
            "explore": self.explore,
        }


def _faults(text: str | None) -> tuple[Fault, ...]:
    if text is None:
        return FAULTS
    names = [one.strip() for one in text.split(",")]
    for name in names:
        if name not in BY_NAME:
            raise ValueError(f"--faults={text}: there is no fault {name!r}; known are {', '.join(BY_NAME)}")
    return tuple(BY_NAME[name] for name in dict.fromkeys(names))


def _probabilities(text: str) -> tuple[float, ...]:
    try:
        values = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        values = (math.nan,)
    if not all(0 < one <= 1 for one in values):
        raise ValueError(
            f"--probability={text}: expected numbers above 0 and at most 1, as in 0.01,0.1,0.001"
        )
    return values
