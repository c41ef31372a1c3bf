"""Describe the machine of a run, without torch and without private data."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

import psutil

from stress.model import system

COMMAND_TIMEOUT_S = 5.0
VALUE_CHARS_MAX = 1000

# Switches that change what is being tested. KMP_*: a second OpenMP runtime is a known confounder
# (pytorch #193520). OBJC_*: one of them hides fork aborts. CUDA_*: launch blocking serialises everything.
_ENV_PREFIXES = (
    "MTL_",
    "METAL_",
    "PYTORCH_",
    "MPS_",
    "Malloc",
    "OMP_",
    "MKL_",
    "TORCH_",
    "KMP_",
    "OBJC_",
    "CUDA_",
)
_ENV_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|AUTH|COOKIE|(?:^|_)KEYS?(?:_|$)", re.IGNORECASE)


def host_environment(rootdir: Path | None = None) -> dict[str, object]:
    """Return what is known about host, interpreter, checkout of `rootdir` and the variables that matter.

    What a system does not provide is None or absent, never an error.
    """
    memory_bytes: int = psutil.virtual_memory().total
    return {
        "host": platform.node(),
        "platform": platform.platform(),
        "system": platform.system(),
        "machine": platform.machine(),
        "macos": _macos(),
        "chip": _chip(),
        "paravirtual": _paravirtual(),
        "cpu_count": os.cpu_count(),
        "cpu_count_physical": psutil.cpu_count(logical=False),
        "cpu_count_usable": system.usable_cores(),
        "memory_bytes": memory_bytes,
        "python": _python(),
        "git": git_state(rootdir) if rootdir is not None else None,
        "env": environment_variables(os.environ),
    }


def environment_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that change what is tested; anything that looks like a secret is left out."""
    return {
        name: value[:VALUE_CHARS_MAX]
        for name, value in sorted(environ.items())
        if name.startswith(_ENV_PREFIXES) and not _ENV_SECRET.search(name)
    }


def git_state(folder: Path) -> dict[str, object] | None:
    """Return commit and dirtiness of the checkout around `folder`; None where there is none."""
    commit = git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = git(folder, "status", "--porcelain")
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def git(folder: Path, *arguments: str) -> str | None:
    """Return what a git command prints, stripped, or None when it fails, is missing or takes too long."""
    return output_of(*_git_command(folder, *arguments))


def run_git(
    folder: Path, *arguments: str, timeout_s: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a git command in `folder`, whatever its exit status; raise OSError or `subprocess.TimeoutExpired`."""
    return _run_apart(_git_command(folder, *arguments), timeout_s)


def _git_command(folder: Path, *arguments: str) -> list[str]:
    # The checkout may be a stranger's: a file-system monitor that its configuration names is not started.
    return ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]


# Set where git started us (a hook, `git rebase --exec`): they lead to that repository, whatever the folder.
_GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE")


def output_of(*command: str) -> str | None:
    """Return what a command prints, stripped, or None when it fails, is missing or takes too long."""
    try:
        done = _run_apart(command, COMMAND_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError):
        return None
    return None if done.returncode else done.stdout.decode("utf-8", "replace").strip()


def _run_apart(command: Sequence[str], timeout_s: float | None) -> subprocess.CompletedProcess[bytes]:
    apart = {name: value for name, value in os.environ.items() if name not in _GIT_PLACES}
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=timeout_s,
        check=False,
        env={**apart, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
    )


def _macos() -> dict[str, str | None] | None:
    if sys.platform != "darwin":
        return None
    return {
        "version": output_of("sw_vers", "-productVersion"),
        "build": output_of("sw_vers", "-buildVersion"),
    }


def _chip() -> str | None:
    return output_of("sysctl", "-n", "machdep.cpu.brand_string") if system.is_macos() else system.cpu_model()


def _paravirtual() -> bool | None:
    """Return whether macOS says that it runs in a virtual machine: its GPU is then not the real one."""
    if sys.platform != "darwin":
        return None
    present = output_of("sysctl", "-n", "kern.hv_vmm_present")
    return None if present is None else present == "1"


def _python() -> dict[str, object]:
    gil_enabled = getattr(sys, "_is_gil_enabled", None)
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "compiler": platform.python_compiler(),
        "executable": sys.executable,
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil_enabled": True if gil_enabled is None else bool(gil_enabled()),
        "switch_interval_s": sys.getswitchinterval(),
    }


def import_folders(rootdir: Path) -> list[str]:
    """Return the folders on `sys.path` that lie below the rootdir, relative to it; not those of the interpreter."""
    root, own = rootdir.resolve(), Path(sys.prefix).resolve()
    folders = [Path(one or ".").resolve() for one in sys.path]
    return list(
        dict.fromkeys(
            str(one.relative_to(root))
            for one in folders
            if one.is_relative_to(root) and not one.is_relative_to(own)
        )
    )
