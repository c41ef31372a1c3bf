"""Identify the torch build exactly: an earlier suite spent months testing the wrong build.

`fingerprint` runs in a child: the pytest parent never imports torch. `check_source` runs anywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stress.model.text import count
from stress.record.machine import git

# What a fork or a newer upstream adds; looked up by name, because versions do not show it (forks call
# themselves 2.9.1a0+git..., nightlies move). The first two exist only in forks with a stream pool.
FEATURES = (
    "torch.mps.release_current_thread_slot",
    "torch.mps.BatchQueue",
    "torch.mps.Stream",
    "torch.mps.StreamContext",
    "torch.mps.stream",
    "torch.mps.current_stream",
    "torch.mps.default_stream",
    "torch.mps.set_stream",
    "torch.mps.Event",
    "torch.mps.compile_shader",
    "torch.mps._is_in_bad_fork",
    "torch.Tensor.record_stream",
    "torch.AcceleratorError",
    "torch.accelerator",
)


def fingerprint() -> dict[str, object]:
    """Import torch and return what identifies its build and what it can do. Call it in a child process."""
    import torch

    version: Any = torch.version
    return {
        "file": torch.__file__,
        "version": str(torch.__version__),
        "git": getattr(version, "git_version", None),
        "debug": getattr(version, "debug", None),
        "cuda": getattr(version, "cuda", None),
        "hip": getattr(version, "hip", None),
        "extension": _file(getattr(torch, "_C", None)),
        "features": {name: _exists(torch, name) for name in FEATURES},
        "num_threads": torch.get_num_threads(),
        "num_interop_threads": torch.get_num_interop_threads(),
        "mps_built": bool(torch.backends.mps.is_built()),
        "mps_available": bool(torch.backends.mps.is_available()),
        "cuda_available": bool(torch.cuda.is_available()),
        "python": sys.executable,
    }


def _file(module: object) -> dict[str, object] | None:
    """Return path, size and time of an extension module: two builds of one commit differ in these."""
    path = getattr(module, "__file__", None)
    if not isinstance(path, str):
        return None
    try:
        status = Path(path).stat()
    except OSError:
        return {"file": path, "bytes": None, "modified": None}
    return {"file": path, "bytes": status.st_size, "modified": status.st_mtime}


def _exists(torch: object, name: str) -> bool:
    found = torch
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
        if found is None:
            return False
    return True


def check_source(torch_fingerprint: Mapping[str, object], source: Path) -> list[str]:
    """Return why the fingerprinted torch is not a build of the tree at `source`; empty when it is.

    It compares commits, so a build made before an uncommitted change passes for one made after it: a
    dirty tree is therefore also a mismatch.
    """
    head = git(source, "rev-parse", "HEAD")
    if head is None:
        return [
            f"{source} is not a git checkout with a commit (or git is missing), so no build can be compared"
        ]
    if not (source / "torch" / "csrc").is_dir():
        return [f"{source} is not PyTorch's source tree (it has no torch/csrc)"]
    mismatches: list[str] = []
    built = torch_fingerprint.get("git")
    where = torch_fingerprint.get("file")
    if not isinstance(built, str) or not built or built == "Unknown":
        mismatches.append(f"torch at {where} does not say which commit it was built from")
    elif built != head:
        mismatches.append(f"torch at {where} was built from {built}, but {source} is at {head}")
    changes = git(source, "status", "--porcelain", "--untracked-files=no")
    if changes is None:
        mismatches.append(f"git status of {source} failed, so uncommitted changes cannot be excluded")
    elif changes:
        files = count(len(changes.splitlines()), "file")
        mismatches.append(f"{source} has uncommitted changes ({files}): no commit names what was built")
    return mismatches
