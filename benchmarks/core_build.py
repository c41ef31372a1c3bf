"""What building a core takes: from nothing, with the tree's own operators up to the first scenario, and after one edit.

    python -m benchmarks.core_build [--pytorch=TREE] [--part=plain|operators|edited]

Each part starts with an empty cache of its own, in a temporary folder; `edited` continues that of `operators`, so it runs
those first. CPU is user and system time of all processes; wall time says something on an idle machine alone, so the load
stands beside it.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from stress.device import cache
from stress.device.core.tree import NATIVE_FUNCTIONS
from stress.device.core.tree import OPERATIONS
from stress.device.core.tree import USED_FILES
from stress.device.core.tree import USED_FOLDERS

TREE = "build/pytorch-2.6.0"
"""Where `make core` puts it."""
PARTS = ("plain", "operators", "edited")
GOALS_S = {"plain": 60.0, "operators": 360.0, "edited": 20.0}
EDITED = f"{OPERATIONS}Activation.mm"
"""The longest source of operators."""
SCENARIO = "scenarios/linear.py"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--pytorch", metavar="TREE", default=TREE, help="root of a PyTorch source tree (default %(default)s)"
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="default: all")
    options = parser.parse_args()
    tree, parts = Path(options.pytorch), options.part or PARTS
    if not tree.exists() and options.pytorch == TREE:
        print(f"core_build: nothing measured: there is no {TREE}, which make core fetches")
        return 0
    with tempfile.TemporaryDirectory(prefix="core-build-") as folder:
        if "plain" in parts:
            _show("plain", [_build(tree, "cpu")], Path(folder) / "plain")
        if "operators" in parts or "edited" in parts:
            # Built by itself: a tree of another version than torch needs `--force`.
            _show("operators", [_build(tree, "tree"), _scenarios(tree)], Path(folder) / "operators")
        if "edited" in parts:
            copy = _edited_copy(tree, Path(folder) / "tree")
            _show("edited", [_build(copy, "tree")], Path(folder) / "operators")
    return 0


def _build(tree: Path, operators: str) -> list[str]:
    return [
        sys.executable, "-m", "stress", "core", "build", f"--pytorch={tree}", f"--operators={operators}", "--force"
    ]  # fmt: skip


def _scenarios(tree: Path) -> list[str]:
    """Return the command that runs one file of scenarios on the tree's operators, an attempt each."""
    return [
        sys.executable, "-m", "pytest", SCENARIO, "-p", "no:cacheprovider", "--mps-threads=8", "--mps-attempts=1",
        "--mps-device=core", f"--mps-pytorch={tree}", "--mps-core-operators=tree",
    ]  # fmt: skip


def _edited_copy(tree: Path, target: Path) -> Path:
    """Copy what is used of the tree, and change one source of operators."""
    for name in USED_FOLDERS:
        shutil.copytree(tree / name, target / name)
    for name in (*USED_FILES, NATIVE_FUNCTIONS):
        if (tree / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(tree / name, target / name)
    with (target / EDITED).open("a") as file:
        file.write("\nnamespace { [[maybe_unused]] int edited = 1; }\n")
    return target


def _show(part: str, commands: Sequence[Sequence[str]], cache_folder: Path) -> None:
    """Run the commands with this cache, and print what they took together."""
    load, started, before = os.getloadavg()[0], time.monotonic(), _cpu_s()
    failed = ""
    for command in commands:
        done = subprocess.run(
            command,
            env={**os.environ, cache.CACHE_VARIABLE: str(cache_folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            said = "\n".join(done.stdout.splitlines()[-12:])
            failed = f"\nexit status {done.returncode} of {' '.join(command)}\n{said}"
            break
    wall_s, cpu_s = time.monotonic() - started, _cpu_s() - before
    print(
        f"{part:<10} {cpu_s:6.1f} s of CPU, {wall_s:6.1f} s of wall time (goal {GOALS_S[part]:.0f}), "
        f"load before {load:.1f}{failed}",
        flush=True,
    )


def _cpu_s() -> float:
    """Return the CPU time of ended child processes."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
