"""Cost of isolation: a fresh attempt beyond its own work, the attempt after a crash, the black-box stamp.

    python -m benchmarks.attempt_cost

All figures come from one run, each as median with minimum and maximum.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from stress.device.sim.build import default_builder
from stress.device.sim.settings import SimSettings
from stress.isolate.backend import can_fork
from stress.isolate.supervisor import ChildRun
from stress.isolate.supervisor import Supervisor
from stress.model.blackbox import BlackBox
from stress.model.errors import BuildError
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from stress.model.spec import SimSpec

ROUNDS = 40
STAMPS = 200_000

SCENARIO = """
import os
import torch
from stress import Scenario


class Smallest(Scenario):
    iterations = 1

    def make_input(self, generator):
        return torch.randn(4, generator=generator)

    def step(self, state, x):
        return x + 1


class Dies(Smallest):
    def setup(self, device):
        if self.threads == 2:
            os.abort()
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "subject.py").write_text(SCENARIO)
        supervisor = Supervisor()
        try:
            fresh, after_crash = attempts(supervisor, folder)
        finally:
            supervisor.close()
        simulated = simulated_attempts(folder)
        stamp_us = stamps(folder)
    print(f"start method: {'fork' if can_fork() else 'spawn'}; {ROUNDS} rounds; 8 threads x 1 iteration")
    show("attempt beyond its own work", fresh, "ms", "at most 60")
    show("the attempt after a crash", after_crash, "ms", "as any other")
    if simulated:
        show("attempt on the simulated device beyond its own work", simulated, "ms", "at most 60")
    ratio = statistics.median(after_crash) / statistics.median(fresh)
    print(f"  after a crash / any other, medians: {ratio:.2f}")
    show("black-box stamp (iteration, phase, op)", stamp_us, "us", "under 2")


def attempts(supervisor: Supervisor, folder: Path) -> tuple[list[float], list[float]]:
    """Return (cost of an attempt, cost of the one after a crash) in ms, interleaved."""
    reference = run(supervisor, folder, "reference", "Smallest", "reference")
    assert reference.result is not None
    fresh, after_crash = [], []
    for number in range(ROUNDS):
        fresh.append(cost_ms(run(supervisor, folder, "crew", "Smallest", f"fresh{number}")))
        dead = run(supervisor, folder, "crew", "Dies", f"dead{number}", threads=2)
        assert dead.exit is not None
        assert dead.exit.code < 0, "the crash has to be one"
        after_crash.append(cost_ms(run(supervisor, folder, "crew", "Smallest", f"after{number}")))
    return fresh, after_crash


def simulated_attempts(folder: Path) -> list[float]:
    """Return the cost of attempts with the simulated device loaded, configured and used, in ms."""
    try:
        build = default_builder().ensure(print)
    except BuildError as error:
        print(f"no simulated device: {error}")
        return []
    sim = build.spec(SimSettings())
    supervisor = Supervisor(sim.library)
    try:
        run(supervisor, folder, "reference", "Smallest", "reference", sim=sim)
        return [
            cost_ms(run(supervisor, folder, "crew", "Smallest", f"simulated{number}", sim=sim))
            for number in range(ROUNDS)
        ]
    finally:
        supervisor.close()


def run(
    supervisor: Supervisor,
    folder: Path,
    kind: str,
    name: str,
    stem: str,
    *,
    threads: int = 8,
    sim: SimSpec | None = None,
) -> ChildRun:
    spec = ChildSpec(
        kind,
        str(folder),
        stem,
        "cpu" if sim is None else "sim",
        ScenarioRef(str(folder / "subject.py"), "subject", name, ()),
        threads=threads,
        references=(str(folder / "reference.reference"),),
        sys_path=tuple(sys.path),
        sim=sim,
    )
    return supervisor.run(spec, threads)


def cost_ms(run_: ChildRun) -> float:
    """Return wall time less what the crew itself took: start, preparation, judging and collection remain."""
    assert run_.result is not None
    assert not run_.result["findings"], run_.result["findings"]
    return 1000 * (run_.seconds - run_.result["times"]["crew_s"])


def stamps(folder: Path) -> list[float]:
    """Return the cost of one full stamp in us, over several rounds."""
    BlackBox.create(folder / "box", 8)
    writer = BlackBox(folder / "box", 8).writer(0)
    rounds = []
    for _ in range(5):
        started = time.perf_counter()
        for iteration in range(STAMPS):
            writer.iteration(0, iteration)
            writer.phase(3)
            writer.op("aten.add.Tensor")
        rounds.append(1e6 * (time.perf_counter() - started) / STAMPS)
    return rounds


def show(what: str, values: Sequence[float], unit: str, goal: str) -> None:
    middle = statistics.median(values)
    print(f"  {what}: median {middle:.2f} {unit} ({min(values):.2f}-{max(values):.2f}), goal: {goal}")


if __name__ == "__main__":
    main()
