"""Copies of the small tree in `tests/core_tree`, to inspect, break and build."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SMALL = Path(__file__).resolve().parents[1] / "core_tree"
STREAM = "aten/src/ATen/mps/MPSStream.mm"


def small_tree(folder: Path, version: str = "2.13.0a0") -> Path:
    """Return a copy of the small tree at `folder`, as PyTorch of this version."""
    shutil.copytree(SMALL, folder)
    (folder / "version.txt").write_text(f"{version}\n")
    return folder


def run_git(folder: Path, *arguments: str) -> str:
    """Run git in `folder`, whatever the user's settings say, and return what it prints."""
    apart = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ("-c", "user.name=tests", "-c", "user.email=tests@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *who, *arguments],
        cwd=folder,
        env={**os.environ, **apart},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or arguments[0] == "merge", done.stderr
    return done.stdout.strip()


def committed_tree(folder: Path, version: str = "2.13.0a0") -> Path:
    """Return a copy of the small tree that is a checkout with one commit."""
    small_tree(folder, version)
    run_git(folder, "init", "--quiet")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "--quiet", "--message=all")
    return folder
