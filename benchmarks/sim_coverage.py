"""Abilities of the simulated device: modules, torch's operators and tests against the CPU, and the cost of an operation.

    python -m benchmarks.sim_coverage [modules] [ops] [torch-tests] [overhead] [--names=TEXT] [--json=FILE]

Builds the device if need be. Each part runs in a separate interpreter; operators and tests each in a forked child.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stress.device.sim.build import default_builder

GOAL_MODULES = 55
GOAL_OPS = 650


def load(library: str, key: str, *, configure: str = "") -> str:
    """Load the device into this process; return its name. Runs no op."""
    import torch._dynamo  # noqa: F401 - the first op of each child would import it

    from stress.device import library as device_library
    from stress.device.sim import loading

    warnings.simplefilter("ignore")
    device_library.load(library)
    loading._name_device(key)
    if configure:
        loading.ops().configure(configure)
    return "mps" if key == "mps" else loading.DEVICE_NAME


def modules(device: str, names: str) -> dict[str, Any]:
    from benchmarks.sim_modules import MODULES
    from benchmarks.sim_modules import run_modules

    outcomes = run_modules(device, [one for one in MODULES if names in one])
    failures = {name: text for name, text in outcomes.items() if text != "ok"}
    return {"passed": len(outcomes) - len(failures), "total": len(outcomes), "failures": failures}


def ops(device: str, names: str) -> dict[str, Any]:
    from benchmarks.sim_op_db import run_op_db
    from benchmarks.sim_op_db import summary
    from stress.commands.sweep.op_db import NOT_COMPARABLE

    outcomes, synchronous = {}, Counter[str]()
    for name, outcome, calls in run_op_db(device, names):
        outcomes[name] = outcome
        synchronous[name] = calls
    failures = {name: text for name, text in outcomes.items() if text != "ok"}
    return {
        "passed": len(outcomes) - len(failures),
        "total": len(outcomes),
        "asynchronous": sum(1 for name in outcomes if name not in failures and not synchronous[name]),
        "not compared": sum(1 for name in outcomes if name.partition(".")[0] in NOT_COMPARABLE),
        "summary": summary(outcomes),
        "failures": failures,
    }


def torch_tests(device: str, names: str) -> dict[str, Any]:
    from benchmarks.sim_torch_tests import run_torch_tests

    passed, total = Counter[str](), Counter[str]()
    failures = {}
    for group, name, outcome in run_torch_tests(device, names):
        total[group] += 1
        passed[group] += outcome == "ok"
        if outcome != "ok":
            failures[f"{group}: {name}"] = outcome
    groups = {group: f"{passed[group]} of {total[group]}" for group in total}
    return {"passed": passed.total(), "total": total.total(), **groups, "failures": failures}


def overhead(device: str, names: str) -> dict[str, Any]:
    from benchmarks.sim_overhead import run_overhead
    from benchmarks.sim_overhead import table

    costs = run_overhead(device)
    print(table(costs), file=sys.stderr)
    return {name: asdict(cost) for name, cost in costs.items() if names in name}


PARTS: Mapping[str, Callable[[str, str], dict[str, Any]]] = {
    "modules": modules,
    "ops": ops,
    "torch-tests": torch_tests,
    "overhead": overhead,
}


def run_part(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one part in a separate interpreter and return its figures."""
    build = default_builder().ensure(print)
    command = [sys.executable, "-m", "benchmarks.sim_coverage", part, f"--names={options.names}"]
    command += [f"--child={build.library}", f"--key={build.key}"]
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**figures, "seconds": round(time.perf_counter() - started, 1)}


def show(part: str, figures: Mapping[str, Any]) -> None:
    goal = {"modules": f", goal: at least {GOAL_MODULES}", "ops": f", goal: at least {GOAL_OPS}"}.get(
        part, ""
    )
    if "passed" in figures:
        print(
            f"{part}: {figures['passed']} of {figures['total']} as on the CPU{goal} ({figures['seconds']} s)"
        )
    for name, value in figures.items():
        if name not in ("passed", "total", "seconds", "failures") and part != "overhead":
            print(f"  {name}: {value}")
    for name, text in figures.get("failures", {}).items():
        print(f"  not as on the CPU: {name}: {text[:160]}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", default=list(PARTS), help=f"of {', '.join(PARTS)}"
    )
    parser.add_argument("--names", default="", help="only checks whose name contains this")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--key", default="mps", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = sorted(set(options.parts) - set(PARTS))
    if unknown:
        parser.error(f"no part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    if options.child:
        device = load(options.child, options.key, configure="commit_every=4")
        print(json.dumps(PARTS[options.parts[0]](device, options.names)), flush=True)
        # Not through the interpreter's end: autograd's thread may still be letting go of Python objects, and a thread
        # that asks for Python's lock then takes the process down, on any device.
        os._exit(0)
    figures = {}
    for part in options.parts:
        figures[part] = run_part(part, options)
        show(part, figures[part])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    reached = [
        figures[part]["passed"] >= goal
        for part, goal in (("modules", GOAL_MODULES), ("ops", GOAL_OPS))
        if part in figures and not options.names
    ]
    return int(not all(reached))


if __name__ == "__main__":
    sys.exit(main())
