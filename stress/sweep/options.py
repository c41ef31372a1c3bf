"""What the user may ask of `mps-stress sweep`, checked. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress import command_options
from stress.device.operator_patch import Operator
from stress.device.sim.settings import SimSettings

SECONDS_DEFAULT = 1200
THREADS_DEFAULT = "8"
THREADS_MAX = 1024
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
        threads = command_options.count(given["threads"], "--threads", THREADS_MAX)
        if threads is None or threads < 2:
            raise ValueError(
                f"--threads={given['threads']}: one thread alone is what others are held against: at least 2"
            )
        return cls(
            device=command_options.device(given["device"]),
            sim=command_options.sim(given["sim_faults"], given["device"]),
            threads=threads,
            ops=tuple(one.strip() for one in given["ops"].split(",")) if given["ops"] else (),
            dtypes=_dtypes(given["dtypes"]),
            seconds=command_options.seconds(given["seconds"]),
            seed=command_options.seed(given["seed"]),
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
