"""Run the linters that a submission has to pass, on the files that the patch changes. Only with `--lint`.

A missing tool is reported as not run, never as a pass. These tools read the tree's own
configuration, and lintrunner runs what that names: the tree is the user's own, and `--lint` is their word for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.commands.evidence.patch import Patch
from stress.commands.evidence.patch import Tree

TIMEOUT_S = 300.0
_CPP = frozenset({".cpp", ".cc", ".h", ".hpp", ".mm", ".m", ".metal"})
_COPYRIGHT_BYTES = 2_000


@dataclass(frozen=True)
class Linted:
    """One tool's word: `ok` is None where it did not run."""

    name: str
    ok: bool | None
    text: str


def lint(tree: Tree, patch: Patch) -> list[Linted]:
    """Return what each tool says of the changed files."""
    python = [str(one) for one in tree.changed if one.suffix == ".py"]
    cpp = [str(one) for one in tree.changed if one.suffix in _CPP]
    return [
        _tool(tree.path, "clang-format", ["clang-format", "--dry-run", "--Werror", "--style=file"], cpp, "C++"),
        _tool(tree.path, "lintrunner", ["lintrunner"], [str(one) for one in tree.changed], "changed"),
        _tool(tree.path, "flake8", ["flake8"], python, "Python"),
        _tool(tree.path, "mypy", ["mypy", "--follow-imports=silent"], python, "Python"),
        _tool(
            tree.path, "docstrings (Google rules)",
            ["ruff", "check", "--isolated", "--select=D", "--config=lint.pydocstyle.convention='google'"], python, "Python",
        ),
        _copyright(tree, patch),
    ]  # fmt: skip


def _tool(folder: Path, name: str, command: Sequence[str], files: Sequence[str], what: str) -> Linted:
    if not files:
        return Linted(name, None, f"not run: the patch changes no {what} file that is in the tree")
    beside = Path(sys.executable).parent / command[0]
    program = str(beside) if os.access(beside, os.X_OK) else shutil.which(command[0])
    if program is None:
        return Linted(name, None, f"not run: {command[0]} is not installed")
    try:
        done = subprocess.run(
            [program, *command[1:], "--", *files] if command[0] != "lintrunner" else [program, *files],
            cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return Linted(name, None, f"not run: {error}")
    said = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()
    if done.returncode == 0:
        return Linted(name, True, f"no complaint about {len(files)} files")
    return Linted(name, False, f"exit status {done.returncode}: {said[0][:200] if said else 'no text'}")


def _copyright(tree: Tree, patch: Patch) -> Linted:
    """Look at the head of files that the patch adds: PyTorch's MPS files name a copyright holder there."""
    name = "licence headers"
    new = [one for one in tree.changed if any(item.is_new and item.path == str(one) for item in patch.files)]
    sources = [one for one in new if one.suffix in _CPP]
    if not sources:
        return Linted(name, None, "not run: the patch adds no C++ or Metal file that is in the tree")
    without = []
    for path in sources:
        with (tree.path / path).open("rb") as file:
            if b"copyright" not in file.read(_COPYRIGHT_BYTES).lower():
                without.append(str(path))
    if without:
        return Linted(name, False, f"no copyright line at the head of {', '.join(without[:4])}")
    return Linted(name, True, f"{len(sources)} new files have one")
