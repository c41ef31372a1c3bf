"""Run every operator of torch's own test database from N threads at once, and print a table per operator.

All float32 samples of each operator first, then some of every other dtype that it claims for the device. Each case runs in
processes of its own: the sequential run that says what is right, and the crew. What one thread alone is refused counts
as refused; random and uninitialised operators run, but are not compared, and the table says so. It takes long: it is no
part of `pytest --mps-threads`, and stops when `--seconds` are up.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.commands import shared_options
from stress.device.operator_patch import Operator
from stress.device.sim.settings import SimSettings
from stress.model.spec import RESULTS_DEFAULT
from stress.plugin.settings import THREADS_MAX
from stress.scenario.capabilities import DEVICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device",
        metavar="|".join(DEVICES),
        default="auto",
        help="device to test (default auto: mps on macOS, elsewhere the simulated one)",
    )
    parser.add_argument(
        "--threads", metavar="N", default=THREADS_DEFAULT, help=f"threads (default {THREADS_DEFAULT})"
    )
    parser.add_argument(
        "--ops", metavar="NAME[,NAME...]", help="only these operators, as in 'linalg.*,nn.functional.linear'"
    )
    parser.add_argument(
        "--dtypes", metavar="DTYPE[,DTYPE...]", help=f"only these, of {', '.join(DTYPES)} (default: all)"
    )
    parser.add_argument(
        "--seconds",
        metavar="SECONDS",
        default=str(SECONDS_DEFAULT),
        help=f"wall time: cases that do not fit are not run, and the table says so (default {SECONDS_DEFAULT})",
    )
    parser.add_argument(
        "--seed", metavar="SEED", help="root seed, decimal or 0x... (default: drawn and recorded)"
    )
    parser.add_argument(
        "--sim-faults", metavar="FAULTS", help="faults of the simulated device, as --mps-sim-faults has them"
    )
    parser.add_argument(
        "--results", metavar="DIR", default=RESULTS_DEFAULT, help=f"where records go ({RESULTS_DEFAULT})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


SECONDS_DEFAULT = 1200


THREADS_DEFAULT = "8"


DTYPES = (
    "float32", "float16", "bfloat16", "complex64", "int64", "int32", "int16", "int8", "uint8", "bool", "float64", "complex128",
)  # fmt: skip
"""In the order in which they are run: what MPS users have most comes first."""


@dataclass(frozen=True)
class SweepOptions:
    """Validated options."""

    device: str
    sim: SimSettings
    threads: int
    ops: tuple[str, ...]
    """Patterns of names; all operators where there is none."""
    dtypes: tuple[str, ...]
    seconds: float
    seed: int
    results: Path
    json: bool
    operators: tuple[Operator, ...] = ()
    """None: the database has hold of torch's functions before anything could be put in their place."""

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> SweepOptions:
        """Return the options; raise `ValueError` with a sentence that names the option and the way out."""
        threads = shared_options.count(given["threads"], "--threads", THREADS_MAX)
        if threads is None or threads < 2:
            raise ValueError(
                f"--threads={given['threads']}: one thread alone is what others are held against: at least 2"
            )
        return cls(
            device=shared_options.device(given["device"]),
            sim=shared_options.sim(given["sim_faults"], given["device"]),
            threads=threads,
            ops=tuple(one.strip() for one in given["ops"].split(",")) if given["ops"] else (),
            dtypes=_dtypes(given["dtypes"]),
            seconds=shared_options.seconds(given["seconds"]),
            seed=shared_options.seed(given["seed"]),
            results=Path(given["results"]).resolve(),
            json=given["json"],
        )

    def to_data(self) -> dict[str, object]:
        """Return what the run record says of them."""
        return {
            "threads": self.threads,
            "ops": list(self.ops),
            "dtypes": list(self.dtypes),
            "seconds": self.seconds,
        }


def _dtypes(text: str | None) -> tuple[str, ...]:
    if text is None:
        return DTYPES
    names = [one.strip().removeprefix("torch.") for one in text.split(",")]
    for name in names:
        if name not in DTYPES:
            raise ValueError(f"--dtypes={text}: there is no {name!r}; known are {', '.join(DTYPES)}")
    return tuple(one for one in DTYPES if one in names)


def parse(args: argparse.Namespace) -> SweepOptions:
    return SweepOptions.parse(vars(args))
