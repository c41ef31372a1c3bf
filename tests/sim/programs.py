"""Programs that tests run on the simulated device: each answers with one JSON object, its last line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 800


def answer(module: str, *arguments: str, python: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run `python -m module` and return what it prints last; fail with all that it said where it does not end well."""
    done = subprocess.run(
        [sys.executable, *python, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def load_device(library: str, key: str) -> str:
    """Load the simulated device into this process; return the name that tensors are moved to."""
    from stress.device import library as device_library
    from stress.device.sim import loading

    device_library.load(library)
    loading._name_device(key)
    return "mps" if key == "mps" else loading.DEVICE_NAME


def print_cases(cases: Callable[[str], Mapping[str, Callable[[], Any]]]) -> None:
    """Be such a program: `LIBRARY KEY`. Run each case in a forked child, and print what came of it by name."""
    from benchmarks.sim_op_db import in_child

    library, key = sys.argv[1:]
    print(json.dumps({name: in_child(case) for name, case in cases(load_device(library, key)).items()}))
