"""Options that several commands have: each is one `SharedOption`, declared by `add` and checked by `value` or `values`."""

from __future__ import annotations

import argparse
import math
import secrets
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stress.device.sim.settings import SimSettings
from stress.device.sim.settings import choose_design
from stress.device.sim.settings import parse_faults
from stress.model.spec import RESULTS_DEFAULT
from stress.plugin.settings import COUNT_MAX
from stress.plugin.settings import SECONDS_MAX
from stress.plugin.settings import THREADS_MAX
from stress.scenario.capabilities import DEVICES

ATTEMPTS_MAX = 100_000


def seconds(text: str, option: str = "--seconds") -> float:
    """Return the value of an option that is a time."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= SECONDS_MAX:  # false for nan
        raise ValueError(f"{option}={text}: expected a positive number, at most {SECONDS_MAX:.0f}")
    return value


def device(text: str, option: str = "--device") -> str:
    if text not in DEVICES:
        raise ValueError(f"{option}={text}: choose one of {', '.join(DEVICES)}")
    return text


def count(text: str, option: str, most: int = COUNT_MAX) -> int:
    """Return a whole number from 1 to `most`."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= most):
        raise ValueError(f"{option}={text}: expected a whole number of at least 1 and at most {most}")
    return int(text)


def seed(text: str, option: str = "--seed") -> int:
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not 0 <= value < 2**63:
        raise ValueError(f"{option}={text}: expected a whole number from 0 to 2**63-1 (0x... is allowed)")
    return value


def sim(args: argparse.Namespace) -> SimSettings:
    """Return the simulated device that `--sim-faults` asks for."""
    faults = args.sim_faults
    if faults is None:
        return SimSettings()
    if args.device not in ("auto", "sim"):
        raise ValueError(f"--sim-faults={faults}: only for the simulated device, not for {args.device}")
    try:
        armed = parse_faults(faults)
        return SimSettings(choose_design(armed, None), armed)
    except ValueError as error:
        raise ValueError(f"--sim-faults={faults}: {error}") from None


def _folder(text: str, option: str) -> Path:
    if not Path(text).is_dir():
        raise ValueError(f"{option}={text}: no such folder")
    return Path(text)


Check = Callable[[Any, str], Any]
"""Given what is on the command line and the option's name: the checked value, or `ValueError` with the way out."""


class SharedOption:
    """One option: its flags, its check, what stands for it where it is not given, and the rest as argparse has it."""

    def __init__(
        self, *flags: str, check: Check = lambda given, _: given, drawn: Any = None, **keywords: Any
    ) -> None:
        self.flags, self.check, self.drawn, self.keywords = flags, check, drawn, keywords

    @property
    def name(self) -> str:
        return self.flags[-1].removeprefix("--")


_OPTIONS = (
    SharedOption(
        "--device",
        check=device,
        metavar="|".join(DEVICES),
        default="auto",
        help="device to test (default auto: mps on macOS, elsewhere the simulated one)",
    ),
    SharedOption(
        "--pytorch",
        metavar="TREE",
        help="source tree of PyTorch whose own MPS core --device=core builds and tests, on a simulated Metal",
    ),
    SharedOption(
        "--sim-faults",
        metavar="FAULTS",
        help="faults of the simulated device, written as for --mps-sim-faults",
    ),
    SharedOption(
        "--threads",
        check=lambda text, option: count(text, option, THREADS_MAX),
        metavar="N",
        help="threads (default %(default)s)",
    ),
    SharedOption(
        "--iterations", check=count, metavar="N", help="iterations of each thread (default %(default)s)"
    ),
    SharedOption(
        "--attempts",
        check=lambda text, option: count(text, option, ATTEMPTS_MAX),
        metavar="N",
        help="number of attempts (default %(default)s)",
    ),
    SharedOption("--seconds", check=seconds, metavar="SECONDS", help="wall time (default %(default)s)"),
    SharedOption(
        "--deadline",
        check=seconds,
        metavar="SECONDS",
        help="kill a run after this long and call it a hang (default %(default)s)",
    ),
    SharedOption(
        "--seed",
        check=seed,
        drawn=lambda: secrets.randbits(32),
        metavar="SEED",
        help="root seed, decimal or 0x... (default: drawn and recorded)",
    ),
    SharedOption(
        "--results",
        check=lambda text, _: Path(text).resolve(),
        metavar="DIR",
        default=RESULTS_DEFAULT,
        help="where records go (%(default)s)",
    ),
    SharedOption(
        "--rootdir",
        check=_folder,
        metavar="DIR",
        default=".",
        help="pytest's rootdir (default: this folder)",
    ),
    SharedOption(
        "--torch-source",
        check=lambda text, option: _folder(text, option).resolve(),
        metavar="DIR",
        help="source tree that torch was built from",
    ),
    SharedOption("--json", action="store_true", help="print JSON instead of the table"),
    SharedOption(
        "-o",
        "--output",
        check=lambda text, _: Path(text),
        metavar="FILE",
        help="output file (default: stdout)",
    ),
)
OPTIONS = {row.name: row for row in _OPTIONS}


def add(parser: argparse._ActionsContainer, *names: str, **changes: Any) -> None:
    """Declare these options; `changes` are what differs in this command: `default`, `help`, `metavar`, ..."""
    for name in names:
        row = OPTIONS[name]
        parser.add_argument(*row.flags, **{**row.keywords, **changes})


def value(args: argparse.Namespace, name: str) -> Any:
    """Return a checked value, None for an option that is not given; raise `ValueError`."""
    row, field = OPTIONS[name], name.replace("-", "_")
    given = getattr(args, field)
    if given is None:
        return row.drawn() if row.drawn is not None else None
    return row.check(given, row.flags[-1])


def values(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return checked values by the names of their fields, as a command's options have them."""
    return {name.replace("-", "_"): value(args, name) for name in names}


def add_places(parser: argparse.ArgumentParser) -> None:
    """Declare where runs and scenarios are."""
    add(parser, "rootdir")
    add(parser, "results", default=None, help="where the runs are (default: results/runs below the rootdir)")


def paths(given: Sequence[str]) -> tuple[Path, ...]:
    return tuple(map(Path, given))
