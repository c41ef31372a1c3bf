"""What the user may ask of `mps-stress power`, checked. Imports no torch."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.sim.zoo import BY_NAME
from stress.sim.zoo import FAULTS
from stress.sim.zoo import Fault

SECONDS_DEFAULT = 1200
SECONDS_MAX = 10.0**7
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
            seconds=_seconds(given["seconds"]),
            threads=_count(given["threads"], "--threads", THREADS_MAX),
            seed=_seed(given["seed"]),
            probabilities=_probabilities(given["probability"]),
            twins=given["twins"],
            blind=given["blind"],
            against=given["against"],
            results=Path(given["results"]).resolve(),
            json=given["json"],
            allocation=Path(given["allocation"]) if given["allocation"] else None,
            explore=_count(explore, "--explore", EXPLORE_MAX),
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


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= SECONDS_MAX:  # false for nan
        raise ValueError(f"--seconds={text}: expected a positive number, at most {SECONDS_MAX:.0f}")
    return seconds


def _count(text: str | None, option: str, most: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= most):
        raise ValueError(f"{option}={text}: expected a whole number of at least 1 and at most {most}")
    return int(text)


def _seed(text: str | None) -> int:
    if text is None:
        return secrets.randbits(32)
    try:
        seed = int(text, 0)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**63:
        raise ValueError(f"--seed={text}: expected a whole number from 0 to 2**63-1 (0x... is allowed)")
    return seed


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
