"""Do seeded faults stand for real bugs? Where a fault is found more often, its real counterpart should be, too.

    python -m benchmarks.validity [--pytorch=TREE] [--attempts=12] [--pairs=NAME[,NAME...]] [--seed=SEED] [-o RESULT.json]

MC Mutants (Levine et al., ASPLOS 2023) shows that its mutants stand for bugs by how their kill rates go together over testing
environments (Pearson's r 0.89 to 0.996). Here an environment is a number of threads, a perturbation mode and a readback. In each,
a scenario is attempted with a seeded fault on the simulated device, and without one on a device that has the real bug that
the fault models: a core, whose TREE must be a release with these bugs, 2.6.0 for instance, and be built; or CUDA. An attempt
counts where it fails with a verdict that the pair names.

Two rates that are the same everywhere have no correlation, and say nothing. The probability beside r is that of an r as large
where environments are paired at random (10,000 times). Nothing here has seen Apple's devices.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from stress.commands import shared_options
from stress.commands.power.allocation import Entry
from stress.commands.power.runnable import Runnable
from stress.commands.power.runnable import resolve
from stress.commands.session import Session
from stress.commands.session import say
from stress.commands.session import session
from stress.device.sim.settings import ArmedFault
from stress.device.sim.settings import SimSettings
from stress.device.sim.zoo import BY_NAME
from stress.isolate.case_runner import CaseRunner
from stress.isolate.case_runner import CaseSpec
from stress.isolate.case_runner import References
from stress.isolate.case_runner import Rotation
from stress.isolate.case_runner import recorder
from stress.isolate.device_choice import DeviceInfo
from stress.isolate.device_choice import WantedDevice
from stress.isolate.pace import STALL_S
from stress.model import seeds
from stress.model.spec import ChildSpec

THREADS, PERTURBATIONS, READBACKS = (2, 4, 8), ("none", "op", "line"), ("every", "end")
DEADLINE_S = 30.0
SHUFFLES = 10_000


@dataclass(frozen=True)
class Pair:
    """A real bug, the seeded fault that models it, and the scenario that shows both."""

    name: str
    scenario: str
    fault: str
    verdicts: tuple[str, ...]
    """How the real bug shows; the fault has its own."""
    params: tuple[tuple[str, str], ...] = ()
    iterations: int | None = None
    probability: float = 1.0
    """Of the fault, times what it declares."""
    device: str = "core"
    """What has the real bug."""


_QUEUE = "stream_synchronize_outside_queue"
PAIRS = (
    Pair("device", "synchronize.py::SynchronizedByOthers", _QUEUE, ("crash",), (("by", "device"),), 2, 4.0),
    Pair("main", "synchronize.py::MainSynchronizes", _QUEUE, ("crash",), (), 8, 10.0),
    Pair("in_use", "synchronize.py::SynchronizeAllInUse", _QUEUE, ("crash",), (), 2, 4.0),
    Pair("pressure", "out_of_memory.py::PressureAndRecovery", "allocator_aba", ("crash",), probability=10.0),
    Pair("linalg", "cold_start.py::LinalgColdStart", "graph_cache_double_compile", ("race",), device="cuda"),
)
"""With so few iterations, and at such probabilities, that few environments find all or nothing."""


@dataclass
class Rate:
    """What the attempts in one environment came to."""

    threads: int
    perturb: str
    readback: str
    failures: int = 0
    others: int = 0
    """Failures with another verdict: they count as none."""
    n: int = 0

    @property
    def rate(self) -> float:
        return self.failures / self.n if self.n else 0.0


class Side:
    """One device of a pair, and what has run there."""

    def __init__(
        self, opened: Session, wanted: WantedDevice, verdicts: Sequence[str], results: Path, seed: int
    ) -> None:
        self._device, supervisor = opened.open_device(wanted)
        writer = opened.open_records("validity", results, seed=seed, settings={}, device=self._device)
        self._runner = CaseRunner(
            supervisor.run, writer, recorder(writer, simulated=self._device.is_simulated)
        )
        self._verdicts, self._seed = verdicts, seed

    def rates(self, pair: Pair, attempts: int) -> list[Rate]:
        """Attempt the pair's scenario in every environment."""
        made = []
        for threads in THREADS:
            what = resolve(Entry(pair.scenario, pair.params, threads=threads, iterations=pair.iterations))
            references = self._runner.references(_case(what, self._device, Rotation("off"), self._seed))
            if not references.is_usable:
                raise SystemExit(f"{what.name} on {self._device.name}: {references.problem}")
            for perturb, readback in product(PERTURBATIONS, READBACKS):
                rotation = Rotation("low", mode=perturb, readback=readback)
                one = Rate(threads, perturb, readback)
                self._attempt(one, _case(what, self._device, rotation, self._seed), references, attempts)
                made.append(one)
                say(f"{self._device.name}: {threads} threads, {perturb}, {readback}: {_counted(asdict(one))}")
            references.remove()
        return made

    def _attempt(self, rate: Rate, case: CaseSpec, references: References, attempts: int) -> None:
        for number in range(attempts):
            ended = self._runner.attempt(
                case, number, references, lots=seeds.derive(self._seed, rate.threads, number)
            )
            verdict = ended.attempt.judged.verdict
            rate.n += 1
            rate.failures += verdict in self._verdicts
            rate.others += verdict.is_failure and verdict not in self._verdicts


def _case(what: Runnable, device: DeviceInfo, rotation: Rotation, seed: int) -> CaseSpec:
    return CaseSpec(
        item=f"validity::{what.name}",
        child=ChildSpec(
            "crew",
            device=device.name,
            scenario=what.ref,
            threads=what.entry.threads,
            iterations=what.entry.iterations,
            seed=seeds.derive(seed, what.name),
            deadline_s=DEADLINE_S,
            stall_s=STALL_S,
            sim=device.sim_spec,
            core=device.core_spec,
        ),
        rotation=rotation,
        reference_deadline_s=2 * DEADLINE_S,
        command=lambda _: "python -m benchmarks.validity",
        start={"params": dict(what.entry.params), "iterations": what.iterations},
        workers=what.workers,
    )


def measure(pair: Pair, tree: str | None, attempts: int, seed: int) -> dict[str, Any]:
    """Return the rates of both sides and what they have to do with each other."""
    fault = BY_NAME[pair.fault]
    armed = ArmedFault(fault.name, False, min(1.0, fault.probability * pair.probability), fault.window_us)
    with tempfile.TemporaryDirectory(prefix="mps-stress-validity-") as folder, session() as opened:
        places = [Path(folder) / one for one in ("seeded", "real")]
        seeded = Side(opened, WantedDevice("sim", SimSettings(design=fault.design, faults=(armed,))), (fault.verdict,), places[0], seed)  # fmt: skip
        real = Side(opened, WantedDevice(pair.device, pytorch=tree), pair.verdicts, places[1], seed)
        rates = {"seeded": seeded.rates(pair, attempts), "real": real.rates(pair, attempts)}
        opened.status = 0
    r, chance = correlation([one.rate for one in rates["seeded"]], [one.rate for one in rates["real"]], seed)
    return {
        "pair": pair.name,
        "scenario": pair.scenario,
        "params": dict(pair.params),
        "fault": pair.fault,
        "r": r,
        "chance": chance,
        **{side: [asdict(one) for one in found] for side, found in rates.items()},
    }


def correlation(a: Sequence[float], b: Sequence[float], seed: int) -> tuple[float | None, float | None]:
    """Return Pearson's r and how often it is as large where pairs are drawn; None for both where one side never changes."""
    if min(a) == max(a) or min(b) == max(b):
        return None, None
    r = statistics.correlation(a, b)
    draw, shuffled = random.Random(seed), list(b)
    as_large = 0
    for _ in range(SHUFFLES):
        draw.shuffle(shuffled)
        as_large += statistics.correlation(a, shuffled) >= r - 1e-12
    return r, (as_large + 1) / (SHUFFLES + 1)


def text(found: Sequence[dict[str, Any]]) -> str:
    """Return the table of docs/power.md."""
    lines = [
        "| scenario | seeded fault | fails (seeded) | fails (real) | environments | r | by chance |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in found:
        name = one["scenario"].partition("::")[2] + "".join(f"[{value}]" for value in one["params"].values())
        sums = [
            f"{sum(rate['failures'] for rate in one[side])}/{sum(rate['n'] for rate in one[side])}"
            for side in ("seeded", "real")
        ]
        r = "-" if one["r"] is None else f"{one['r']:.2f}"
        chance = "-" if one["chance"] is None else f"{one['chance']:.4f}"
        lines.append(
            f"| `{name}` | `{one['fault']}` | {' | '.join(sums)} | {len(one['seeded'])} | {r} | {chance} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pytorch", metavar="TREE", help="root of a tree with the bugs; the pairs without one are CUDA's"
    )
    parser.add_argument("--attempts", type=int, default=12, help="attempts in each environment")
    parser.add_argument("--pairs", help="names of pairs (default: those of the tree, or CUDA's)")
    shared_options.add(parser, "seed", "output")
    args = parser.parse_args()
    seed = shared_options.value(args, "seed")
    device = "core" if args.pytorch else "cuda"
    names = args.pairs.split(",") if args.pairs else [one.name for one in PAIRS if one.device == device]
    found = []
    for pair in (one for one in PAIRS if one.name in names):
        found.append(measure(pair, args.pytorch, args.attempts, seed))
        say(text(found[-1:]))
    if args.output:
        Path(args.output).write_text(json.dumps(found, indent=1))
    print(text(found))
    return 0


def _counted(rate: dict[str, Any]) -> str:
    others = f" ({rate['others']} others)" if rate["others"] else ""
    return f"{rate['failures']}/{rate['n']}{others}"


if __name__ == "__main__":
    sys.exit(main())
