"""Run every operator of torch's own test database from N threads at once, and print a table per operator.

All float32 samples of each operator first, then some of every other dtype that it claims for the device. Each case runs in
separate processes: the sequential run that says what is right, and the crew. A case that a single thread cannot run either
counts as refused; random and uninitialised operators run, but are not compared, and the table says so. It takes long: it is
not part of `pytest --mps-threads`, and stops when `--seconds` are up.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options
from stress.device.operator_patch import Operator
from stress.device.sim.settings import SimSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared_options.add(parser, "device", "pytorch")
    shared_options.add(parser, "threads", default="8")
    parser.add_argument(
        "--ops", metavar="NAME[,NAME...]", help="only these operators, as in 'linalg.*,nn.functional.linear'"
    )
    parser.add_argument(
        "--dtypes", metavar="DTYPE[,DTYPE...]", help=f"only these, of {', '.join(DTYPES)} (default: all)"
    )
    shared_options.add(
        parser,
        "seconds",
        default="1200",
        help="wall time: cases that do not fit are skipped, and the table says so (default %(default)s)",
    )
    shared_options.add(parser, "seed", "sim-faults", "results", "json")


DTYPES = (
    "float32", "float16", "bfloat16", "complex64", "int64", "int32", "int16", "int8", "uint8", "bool", "float64", "complex128",
)  # fmt: skip
"""In the order in which they are run: what MPS users have most comes first."""


@dataclass(frozen=True)
class SweepOptions:
    """Validated options."""

    device: str
    pytorch: str | None
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
    core_operators: str = "cpu"
    """None: the database has hold of torch's functions before anything could be put in their place."""

    def to_data(self) -> dict[str, object]:
        """Return what the run record says of them."""
        return {
            "threads": self.threads,
            "ops": list(self.ops),
            "dtypes": list(self.dtypes),
            "seconds": self.seconds,
        }


def parse(args: argparse.Namespace) -> SweepOptions:
    if shared_options.value(args, "threads") < 2:
        raise ValueError(
            f"--threads={args.threads}: expected at least 2, as results are compared with one thread's"
        )
    return SweepOptions(
        **shared_options.values(args, "device", "pytorch", "threads", "seconds", "seed", "results", "json"),
        sim=shared_options.sim(args),
        ops=tuple(one.strip() for one in args.ops.split(",")) if args.ops else (),
        dtypes=_dtypes(args.dtypes),
    )


def _dtypes(text: str | None) -> tuple[str, ...]:
    if text is None:
        return DTYPES
    names = [one.strip().removeprefix("torch.") for one in text.split(",")]
    for name in names:
        if name not in DTYPES:
            raise ValueError(f"--dtypes={text}: unknown {name!r}; known are {', '.join(DTYPES)}")
    return tuple(one for one in DTYPES if one in names)
