"""Run scenarios in a Python without a global lock, where one with torch and mps-stress is found. Nothing is downloaded.

    make free-threaded
    python -m tools.free_threaded PATH/TO/python3.14t

Exit status: that of pytest; 0 with `n/a` and the reason where no such Python is here, for that is no failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from stress.commands.doctor.free_threading import FreePython
from stress.commands.doctor.free_threading import ask
from stress.commands.doctor.free_threading import find

SCENARIOS = Path(__file__).resolve().parent.parent / "scenarios"
FILES = ("canary.py", "free_threading.py", "autograd_threads.py", "parallel_ops.py", "cold_start.py")
ARGUMENTS = ("--mps-threads=8", "--mps-attempts=5")


def main(arguments: Sequence[str]) -> int:
    found = [ask(one) for one in arguments] if arguments else find()
    asked = [one for one in found if one is not None]
    ready = next((one for one in asked if one.is_ready), None)
    if ready is None:
        print(f"free-threaded: n/a: {_why(asked, arguments)}", flush=True)
        return 2 if arguments else 0
    print(f"free-threaded: Python {ready.version}, {ready.path}", flush=True)
    command = [ready.path, "-m", "pytest", *ARGUMENTS, *(str(SCENARIOS / one) for one in FILES)]
    # 0: an extension that does not say that it can do without the lock does not bring it back.
    return subprocess.run(command, env={**os.environ, "PYTHON_GIL": "0"}, check=False).returncode


def _why(asked: Sequence[FreePython], arguments: Sequence[str]) -> str:
    if asked:
        return f"Python {asked[0].version} ({asked[0].path}) lacks {', '.join(asked[0].lacks)}"
    if arguments:
        return f"{', '.join(arguments)}: no Python without a global lock"
    return "no Python without a global lock (python3.13t, python3.14t) is here"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
