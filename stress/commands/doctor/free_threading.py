"""Pythons without a global lock (3.13t, 3.14t and later) on this machine: where they are, and whether they can run mps-stress."""

from __future__ import annotations

import glob
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from stress.commands.doctor.check import CheckResult
from stress.commands.doctor.check import Status

NAMES = ("python3.15t", "python3.14t", "python3.13t", "python3t")
PLACES = (
    "~/.pyenv/versions/*t*/bin/python3.*t",
    "~/.local/share/uv/python/*freethreaded*/bin/python3.*t",
    "/opt/homebrew/opt/python-freethreading/bin/python3.*t",
    "/Library/Frameworks/PythonT.framework/Versions/*/bin/python3.*t",
)
"""Beside the search path: where pyenv, uv, Homebrew and python.org put them."""
PROBE_TIMEOUT_S = 60.0
_PROBE = """
import importlib.util, json, sys, sysconfig
lacks = [one for one in ("torch", "pytest", "stress") if importlib.util.find_spec(one) is None]
print(json.dumps({"version": sys.version.split()[0], "lacks": lacks,
                  "is_free": bool(sysconfig.get_config_var("Py_GIL_DISABLED"))}))
"""


@dataclass(frozen=True)
class FreePython:
    """An interpreter that was asked."""

    path: str
    version: str
    lacks: tuple[str, ...]
    """Modules that mps-stress needs and it has not."""

    @property
    def is_ready(self) -> bool:
        return not self.lacks


def find(path: str | None = None) -> list[FreePython]:
    """Return those on the search path (`path`, by default $PATH) and in the usual places; this one first, if it is one."""
    found = [sys.executable] if sysconfig.get_config_var("Py_GIL_DISABLED") else []
    found += [one for name in NAMES if (one := shutil.which(name, path=path)) is not None]
    if path is None:
        found += [one for place in PLACES for one in sorted(glob.glob(os.path.expanduser(place)))]
    distinct = {str(Path(one).parent.resolve() / Path(one).name): one for one in found}
    return [free for one in distinct.values() if (free := ask(one)) is not None]


def ask(python: str) -> FreePython | None:
    """Return what an interpreter says of itself; None where it does not answer, or has a lock."""
    try:
        done = subprocess.run(
            [python, "-c", _PROBE], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=PROBE_TIMEOUT_S, env={**os.environ, "PYTHON_GIL": "0"},
        )  # fmt: skip
        data = json.loads(done.stdout)
        if not data["is_free"]:
            return None
        return FreePython(python, str(data["version"]), tuple(map(str, data["lacks"])))
    except (OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired):
        return None


def free_python_line(found: list[FreePython]) -> CheckResult:
    """Return the doctor's line."""
    section, name = "tools", "free threading"
    if not found:
        return CheckResult(
            section, name, Status.NOT_APPLICABLE,
            "no Python without a global lock (python3.13t, python3.14t) is here: nothing ran in one",
        )  # fmt: skip
    ready = next((one for one in found if one.is_ready), None)
    if ready is None:
        first = found[0]
        return CheckResult(
            section, name, Status.WARNING,
            f"Python {first.version} ({first.path}) lacks {', '.join(first.lacks)}: nothing can run in it",
            f"make an environment with it, and install torch and mps-stress there: {first.path} -m venv .venv-t",
        )  # fmt: skip
    return CheckResult(
        section, name, Status.OK, f"Python {ready.version} ({ready.path}): make free-threaded uses it"
    )
