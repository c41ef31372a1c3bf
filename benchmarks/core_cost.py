"""What a core costs: an operation beside the same one on the model, and finding a build that is in the cache.

    python -m benchmarks.core_cost [--pytorch=TREE] [--rounds=5]
    python -m benchmarks.core_cost --attempts=3 [--pytorch=TREE] [--operators=tree] [--rounds=5] [SCENARIOS ...]

The tree must be built: `make core` builds the default one, else `mps-stress core build` does. An operation's
cost is what its device adds to the CPU's, from the call until it is done. Rounds of the two devices alternate, each in a
process of its own; a ratio is the median of the rounds, with the least and the most.

With --attempts, what an attempt of scenarios costs on either device instead: CPU time of its child, all attempts of an item
and all items of a file together, since a machine that is busy changes wall times by more than what is asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.sim_overhead import Cost
from stress.device.core.build import CoreBuild
from stress.device.core.build import core_builder
from stress.device.sim.build import default_builder
from stress.device.sim.settings import SimSettings
from stress.scenario.capabilities import CORE_OPERATORS

ROOT = Path(__file__).resolve().parents[1]
RATIO_GOAL = 2.0
LOOKUP_GOAL_S = 0.2
LOOKUPS = 15
TREE = "build/pytorch-2.6.0"
"""Where `make core` puts it."""
DEVICES = ("sim", "core")
ATTEMPT_RATIO_GOAL = 5.0
SCENARIOS = ("linear", "layer_norm", "graph_compilation", "parallel_ops", "range_factories")
THREADS = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--pytorch",
        metavar="TREE",
        default=TREE,
        help="root of a PyTorch source tree, built (default %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="processes per device (default 5)")
    parser.add_argument("--attempts", type=int, help="measure this many attempts of each scenario instead")
    parser.add_argument(
        "--operators", choices=CORE_OPERATORS, default="tree", help="whose operators attempts use on the core"
    )
    parser.add_argument("scenarios", nargs="*", default=SCENARIOS, help="files of scenarios/, for attempts")
    parser.add_argument("--child", choices=DEVICES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(
            json.dumps({name: asdict(one) for name, one in _costs(options.child, options.pytorch).items()}),
            flush=True,
        )
        os._exit(0)  # As in `sim_coverage`: autograd's thread may still be at work.
    if not Path(options.pytorch).exists() and options.pytorch == TREE:
        print(f"core_cost: nothing measured: there is no {TREE}, which make core fetches and builds")
        return 0
    if options.attempts is not None:
        return _show_attempts(options)
    _found(options.pytorch)
    _show_lookups(options.pytorch)
    found: dict[str, list[Mapping[str, Mapping[str, float]]]] = {one: [] for one in DEVICES}
    for _ in range(options.rounds):
        for device in DEVICES:
            found[device].append(_in_child(device, options.pytorch))
    _show_costs(found["sim"], found["core"])
    return 0


def _found(tree: str, operators: str = "cpu") -> CoreBuild:
    found = core_builder(tree, operators=operators).find()
    if found is None:
        command = f"mps-stress core build --pytorch={tree} --operators={operators} --force"
        raise SystemExit(f"core_cost: {tree} is not built: {command}")
    return found


def _show_attempts(options: argparse.Namespace) -> int:
    """Print each file's ratio; return 1 where one is over the goal."""
    _found(options.pytorch, options.operators)
    core = [f"--mps-pytorch={options.pytorch}", f"--mps-core-operators={options.operators}"]
    chosen = {"sim": ["--mps-device=sim"], "core": ["--mps-device=core", *core]}
    print(
        f"an attempt, {THREADS} threads: s of CPU, median of {options.rounds} rounds of {options.attempts} attempts; "
        f"core / sim, goal: at most {ATTEMPT_RATIO_GOAL}"
    )
    print(f"  {'':<26}{'sim':>9}{'core':>9}   core / sim (least-most)", flush=True)
    over = False
    for name in options.scenarios:
        found: dict[str, list[Mapping[str, float]]] = {one: [] for one in DEVICES}
        for _ in range(options.rounds):
            for device in DEVICES:
                found[device].append(_attempt_costs(name, options.attempts, chosen[device]))
        both = set.intersection(*(set(one) for rounds in found.values() for one in rounds))
        if not both:
            print(f"  {name:<26}nothing ran on both devices")
            continue
        sums = {device: [sum(one[item] for item in both) for one in found[device]] for device in DEVICES}
        ratios = [core_s / sim_s for sim_s, core_s in zip(sums["sim"], sums["core"], strict=True)]
        over = over or statistics.median(ratios) > ATTEMPT_RATIO_GOAL
        middle = {device: statistics.median(sums[device]) / len(both) for device in DEVICES}
        print(f"  {name:<26}{middle['sim']:>9.3f}{middle['core']:>9.3f}   {_spread(ratios)}", flush=True)
    return int(over)


def _attempt_costs(name: str, attempts: int, device: Sequence[str]) -> dict[str, float]:
    """Run the scenarios of a file; return each item's CPU time per attempt in s, of those that ran to their end."""
    with tempfile.TemporaryDirectory(prefix="core-cost-") as folder:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"scenarios/{name}.py"]
        command += [f"--mps-threads={THREADS}", f"--mps-attempts={attempts}", "--mps-seed=1"]
        subprocess.run(
            [*command, f"--mps-results={folder}", *device], cwd=ROOT, stdout=subprocess.DEVNULL, check=False
        )
        spent: dict[str, list[float]] = {}
        for file in Path(folder).glob("**/*.jsonl"):
            for line in file.read_text(encoding="utf-8").splitlines():
                record = json.loads(line)
                if (
                    record["kind"] == "attempt_end"
                    and record["role"] == "crew"
                    and record["cpu_s"] is not None
                ):
                    spent.setdefault(record["item"], []).append(record["cpu_s"])
    return {item: statistics.mean(costs) for item, costs in spent.items()}


def _show_lookups(tree: str) -> None:
    """Print what finding costs in a process that has all modules, and what the whole command costs."""
    command = [sys.executable, "-m", "stress", "core", "build", f"--pytorch={tree}", "--force"]
    nothing = [sys.executable, "-m", "stress", "core", "build", "--help"]
    print(
        f"a build that is in the cache, {LOOKUPS} times each, CPU of all processes; goal: under {LOOKUP_GOAL_S} s"
    )
    for what, work in {
        "found, in a process that runs": lambda: _found(tree),
        "mps-stress core build": lambda: _run(command),
        "mps-stress core build --help": lambda: _run(nothing),
    }.items():
        cpu, wall = zip(*(_seconds(work) for _ in range(LOOKUPS)), strict=True)
        print(f"  {what:<32}{_spread(cpu)} s of CPU, {_spread(wall)} s")


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def _seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return CPU time, that of ended child processes included, and wall time: the machine may be busy."""
    before, started = sum(os.times()[:4]), time.perf_counter()
    work()
    return sum(os.times()[:4]) - before, time.perf_counter() - started


def _in_child(device: str, tree: str) -> dict[str, dict[str, float]]:
    command = [sys.executable, "-m", "benchmarks.core_cost", f"--pytorch={tree}", f"--child={device}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    costs: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return costs


def _costs(device: str, tree: str) -> Mapping[str, Cost]:
    """Return the cost of each operation on the device, which is loaded into this process."""
    import torch
    import torch._dynamo

    from benchmarks.sim_overhead import run_overhead
    from stress.device import preparation
    from stress.model.spec import ChildSpec
    from stress.model.spec import CoreSpec

    if device == "core":
        module = _found(tree).python_module
        assert module is not None, "a tree without torch/csrc/mps has no device for Python"
        preparation.prepare(ChildSpec("crew", core=CoreSpec(str(module))))
        return run_overhead("mps", torch.mps.synchronize)
    build = default_builder().ensure(print)
    preparation.prepare(ChildSpec("crew", sim=build.spec(SimSettings("upstream"))))
    return run_overhead("mps" if build.key == "mps" else "sim")


def _show_costs(
    model: Sequence[Mapping[str, Mapping[str, float]]], core: Sequence[Mapping[str, Mapping[str, float]]]
) -> None:
    print(f"us per operation, median of {len(core)} rounds; core / model, goal: at most {RATIO_GOAL}")
    print(f"  {'':<26}{'cpu':>8}{'model':>9}{'core':>9}   core / model (least-most)   added: core / model")
    for name in core[0]:
        pairs = list(zip(model, core, strict=True))
        whole = [right[name]["run_us"] / left[name]["run_us"] for left, right in pairs]
        added = [
            (right[name]["run_us"] - right[name]["cpu_us"]) / (left[name]["run_us"] - left[name]["cpu_us"])
            for left, right in pairs
        ]
        cpu, on_model, on_core = (
            statistics.median(one[name][column] for one in rounds)
            for rounds, column in ((core, "cpu_us"), (model, "run_us"), (core, "run_us"))
        )
        print(
            f"  {name:<26}{cpu:>8.1f}{on_model:>9.1f}{on_core:>9.1f}   {_spread(whole):<28}{_spread(added)}"
        )


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
