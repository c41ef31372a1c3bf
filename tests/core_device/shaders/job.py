"""Run a job of kernels in a process of its own, since a kernel that does what it may not ends it; `main` prints the values."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Bound:
    """An argument: `values` of one of ctypes' types, or threadgroup memory."""

    values: Sequence[float] = ()
    type: str = "c_float"
    kind: str = "b"
    length: int = 0
    offset: int = 0
    resources: int = 0
    is_resident: bool = True


@dataclass(frozen=True)
class Job:
    """One kernel, dispatched once for each seed, each time on the same values."""

    library: str
    text: str
    kernel: str
    arguments: Sequence[Bound]
    threads: Sequence[int]
    group: Sequence[int]
    seeds: Sequence[int] = (1,)
    counts_groups: bool = False
    options: str = ""
    """Of the simulated Metal."""
    reads_early: bool = False
    """Whether the host reads the buffers without waiting for the GPU."""
    more: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the environment."""

    def run(self) -> subprocess.CompletedProcess[str]:
        """Return the ended process; what it printed is for `values`."""
        return subprocess.run(
            [sys.executable, "-m", "tests.core_device.shaders.job"],
            input=json.dumps({**asdict(self), "seeds": list(self.seeds)}),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=ROOT,
            env={**os.environ, **self.more},
        )

    def values(self) -> list[list[list[float]]]:
        """Return, for each seed, the values of each argument after the dispatch; fail where the process died."""
        done = self.run()
        assert done.returncode == 0, done.stderr
        found: list[list[list[float]]] = json.loads(done.stdout)
        return found

    def dies(self) -> str:
        """Return the last words of the process, which must end with SIGABRT."""
        done = self.run()
        assert done.returncode == -6, (done.returncode, done.stdout[:200], done.stderr)
        return done.stderr.strip()


def main() -> None:
    from tests.core_device.shaders.driver import Argument
    from tests.core_device.shaders.driver import Driver

    job: dict[str, Any] = json.load(sys.stdin)
    driver = Driver(Path(job["library"]))
    library = driver.compile(job["text"])
    results = []
    for seed in job["seeds"]:
        arrays = [
            (getattr(ctypes, one["type"]) * max(len(one["values"]), 1))(*one["values"])
            for one in job["arguments"]
        ]
        arguments = [
            Argument(
                ctypes.addressof(array) if one["values"] else 0,
                ctypes.sizeof(array) if one["values"] else one["length"],
                one["offset"],
                one["kind"],
                one["resources"],
                one["is_resident"],
            )
            for one, array in zip(job["arguments"], arrays, strict=True)
        ]
        driver.run(
            library,
            job["kernel"],
            arguments,
            job["threads"],
            job["group"],
            seed=seed,
            counts_groups=job["counts_groups"],
            options=job["options"],
            reads_early=job["reads_early"],
        )
        results.append([list(array) for array in arrays])
    print(json.dumps(results))


if __name__ == "__main__":
    main()
