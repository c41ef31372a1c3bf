"""What a core costs: an operation beside the same one on the model, and finding a build that is in the cache.

    python -m benchmarks.core_cost [--pytorch=TREE] [--rounds=5]

The tree must be built: `make core` builds the default one, else `mps-stress core build` does. An operation's
cost is what its device adds to the CPU's, from the call until it is done. Rounds of the two devices alternate, each in a
process of its own; a ratio is the median of the rounds, with the least and the most.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
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

RATIO_GOAL = 2.0
LOOKUP_GOAL_S = 0.2
LOOKUPS = 15
TREE = "build/pytorch-2.6.0"
"""Where `make core` puts it."""
DEVICES = ("sim", "core")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--pytorch",
        metavar="TREE",
        default=TREE,
        help="root of a PyTorch source tree, built (default %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="processes per device (default 5)")
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
    _found(options.pytorch)
    _show_lookups(options.pytorch)
    found: dict[str, list[Mapping[str, Mapping[str, float]]]] = {one: [] for one in DEVICES}
    for _ in range(options.rounds):
        for device in DEVICES:
            found[device].append(_in_child(device, options.pytorch))
    _show_costs(found["sim"], found["core"])
    return 0


def _found(tree: str) -> CoreBuild:
    found = core_builder(tree).find()
    if found is None:
        raise SystemExit(f"core_cost: {tree} is not built: mps-stress core build --pytorch={tree} --force")
    return found


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
