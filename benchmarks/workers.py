"""Processes that serve several attempts: what spawned ones cost beside forked ones, and whether one stays as it was.

    python -m benchmarks.workers [--rounds=3] [--attempts=1000] [--start-method=fork]

The ratio is that of whole runs (`scenarios/linear.py scenarios/layer_norm.py`, 8 threads, 5 attempts), forked and spawned in
turn on one machine. The second part gives one process as many attempts as asked, and compares what it holds at the
end with what it held after the first tenth.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from stress.isolate.supervisor import ChildRun
from stress.isolate.supervisor import Supervisor
from stress.model.errors import BuildError
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from stress.model.spec import SimSpec

ROOT = Path(__file__).resolve().parent.parent
RATIO_MAX = 1.5
GROWTH_MAX = 1.1
"""Of resident memory over the last nine tenths."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--attempts", type=int, default=1000)
    parser.add_argument("--start-method", choices=("fork", "spawn"), default="fork")
    options = parser.parse_args()
    if options.rounds:
        ratio(options.rounds)
    if options.attempts:
        os.environ["MPS_STRESS_START_METHOD"] = options.start_method
        soak(options.attempts)


def ratio(rounds: int) -> None:
    """Print how long spawned runs take beside forked ones."""
    seconds: dict[str, list[tuple[float, float]]] = {"fork": [], "spawn": []}
    for number in range(rounds):
        for method, taken in seconds.items():
            taken.append(run_s(method, seed=number))
    for index, what in enumerate(("wall clock", "CPU, which a busy machine changes less")):
        forked, spawned = ([one[index] for one in seconds[method]] for method in seconds)
        ratios = [b / a for a, b in zip(forked, spawned, strict=True)]
        for method, values in (("forked", forked), ("spawned", spawned)):
            middle = statistics.median(values)
            print(f"  {what}, {method}: median {middle:.1f} s ({min(values):.1f}-{max(values):.1f})")
        print(
            f"  {what}, spawned / forked, of runs one after the other: median {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f})"
        )
    print(f"  goal: wall clock at most {RATIO_MAX} on an idle machine; load now: {os.getloadavg()[0]:.1f}")


def run_s(method: str, seed: int) -> tuple[float, float]:
    """Return the seconds that a run takes, and those of the CPU."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:run-parallel"]
    command += ["--mps-threads=8", "--mps-attempts=5", f"--mps-seed={seed}"]
    files = ("scenarios/linear.py", "scenarios/layer_norm.py")
    started, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, f"--mps-results={folder}", *files],
            cwd=ROOT, env={**os.environ, "MPS_STRESS_START_METHOD": method}, check=False, capture_output=True, text=True,
        )  # fmt: skip
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stdout
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def soak(attempts: int) -> None:
    """Give one process all attempts; print what it holds."""
    with tempfile.TemporaryDirectory() as folder:
        library, sim = simulated()
        supervisor = Supervisor(library, attempts_per_process=attempts + 10)
        try:
            serve_all(supervisor, Path(folder), sim, attempts)
        finally:
            supervisor.close()


def simulated() -> tuple[str, SimSpec | None]:
    """Return the simulated device with the twins of all faults of its design armed: they must find nothing."""
    from stress.device.sim.build import default_builder
    from stress.device.sim.settings import SimSettings
    from stress.device.sim.settings import parse_faults
    from stress.device.sim.zoo import DESIGN_DEFAULT
    from stress.device.sim.zoo import FAULTS

    try:
        build = default_builder().ensure(print)
    except BuildError as error:
        print(f"no simulated device, the CPU instead: {error}")
        return "", None
    twins = parse_faults(",".join(f"{one.name}/twin" for one in FAULTS if one.design == DESIGN_DEFAULT))
    return str(build.library), build.spec(SimSettings(DESIGN_DEFAULT, twins))


def serve_all(supervisor: Supervisor, folder: Path, sim: SimSpec | None, attempts: int) -> None:
    classes = (("linear.py", "SharedLinear", (0,)), ("layer_norm.py", "SharedLayerNorm", (0,)))
    references = [run(supervisor, folder, "reference", one, sim, 0) for one in classes]
    held: list[tuple[int, int, int, int]] = []
    pids: set[int] = set()
    seconds: list[float] = []
    for number in range(attempts):
        of = number % len(classes)
        answers = str(references[of].spec.file("reference"))
        done = run(supervisor, folder, "crew", classes[of], sim, number, answers)
        assert done.result is not None, done.stderr
        assert not done.result["findings"], done.result["findings"]
        assert not done.notes, done.notes
        pids.add(done.pid)
        seconds.append(done.seconds)
        held.append(holds(done.pid))
    assert len(pids) == 1, f"{len(pids)} processes"
    tenth = max(1, attempts // 10)
    print(f"  one process served {attempts} attempts, a median of {statistics.median(seconds):.3f} s each")
    for name, early, late in zip(
        ("bytes resident", "files", "threads", "children"), held[tenth], held[-1], strict=True
    ):
        print(f"  {name}: {early} after {tenth}, {late} at the end")
    first, last = held[tenth], held[-1]
    assert last[0] < GROWTH_MAX * first[0], "memory grows"
    assert last[1:] == first[1:], "files, threads or children are left"


def run(
    supervisor: Supervisor,
    folder: Path,
    kind: str,
    of: tuple[str, str, tuple[int, ...]],
    sim: SimSpec | None,
    number: int,
    reference: str = "",
) -> ChildRun:
    file, name, indices = of
    path = ROOT / "scenarios" / file
    spec = ChildSpec(
        kind,
        str(folder),
        f"{kind}-{name}-{number}",
        "cpu" if sim is None else "sim",
        ScenarioRef(str(path), path.stem, name, indices),
        threads=8,
        iterations=5,
        attempt=number,
        references=(reference,),
        shares_process=True,
        sys_path=tuple(sys.path),
        sim=sim,
    )
    return supervisor.run(spec, 8)


def holds(pid: int) -> tuple[int, int, int, int]:
    one = psutil.Process(pid)
    return one.memory_info().rss, one.num_fds(), one.num_threads(), len(one.children())


if __name__ == "__main__":
    main()
