"""Options that several commands have, checked: each raises `ValueError` with a sentence that names the way out."""

from __future__ import annotations

import argparse
import math
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stress.commands import CommandError
from stress.device.sim.settings import SimSettings
from stress.device.sim.settings import choose_design
from stress.device.sim.settings import parse_faults
from stress.plugin.settings import SECONDS_MAX
from stress.scenario.capabilities import DEVICES


def seconds(text: str, option: str = "--seconds") -> float:
    """Return the value of an option that is a time."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= SECONDS_MAX:  # false for nan
        raise ValueError(f"{option}={text}: expected a positive number, at most {SECONDS_MAX:.0f}")
    return value


def device(text: str) -> str:
    """Return the value of `--device`."""
    if text not in DEVICES:
        raise ValueError(f"--device={text}: choose one of {', '.join(DEVICES)}")
    return text


def sim(faults: str | None, on_device: str) -> SimSettings:
    """Return the simulated device that `--sim-faults` asks for."""
    if faults is None:
        return SimSettings()
    if on_device not in ("auto", "sim"):
        raise ValueError(
            f"--sim-faults={faults}: this is for the simulated device alone, not for {on_device}"
        )
    try:
        armed = parse_faults(faults)
        return SimSettings(choose_design(armed, None), armed)
    except ValueError as error:
        raise ValueError(f"--sim-faults={faults}: {error}") from None


def count(text: str | None, option: str, most: int) -> int | None:
    """Return a whole number from 1 to `most`; None where the option was not given."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= most):
        raise ValueError(f"{option}={text}: expected a whole number of at least 1 and at most {most}")
    return int(text)


def seed(text: str | None) -> int:
    """Return the value of `--seed`, drawn from the operating system where it was not given."""
    if text is None:
        return secrets.randbits(32)
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 2**63:
        raise ValueError(f"--seed={text}: expected a whole number from 0 to 2**63-1 (0x... is allowed)")
    return value


T = TypeVar("T")


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where runs and scenarios are."""
    parser.add_argument(
        "--rootdir", metavar="DIR", default=".", help="what pytest called rootdir (default: this folder)"
    )
    parser.add_argument(
        "--results", metavar="DIR", help="where the runs are (default: results/runs below the rootdir)"
    )


def places(args: argparse.Namespace) -> tuple[Path, Path | None]:
    """Return the rootdir and the folder of the runs, where one was given."""
    return Path(args.rootdir), None if args.results is None else Path(args.results).resolve()


def checked(read: Callable[[], T]) -> T:
    """Return an option's value; its `ValueError` becomes a `CommandError`."""
    try:
        return read()
    except ValueError as error:
        raise CommandError(str(error)) from None
