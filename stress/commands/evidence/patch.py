"""A patch's identity: base, files, lines, hashes, and whether it applies to a tree. Nothing of it is executed."""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from stress.model.errors import UserError
from stress.record.machine import git
from stress.record.machine import run_git

PATCH_BYTES_MAX = 20 * 2**20
FILES_MAX = 2_000
_GIT_TIMEOUT_S = 60.0
_BASE = re.compile(rb"^base-commit: ([0-9a-f]{40})$", re.MULTILINE)
_FROM = re.compile(rb"^From ([0-9a-f]{40}) ", re.MULTILINE)


class PatchError(UserError):
    """The patch or the tree cannot be used; the text says why."""


@dataclass(frozen=True)
class Changed:
    """One file that the patch touches."""

    path: str
    added: int | None
    """None for a binary file."""
    removed: int | None
    is_new: bool = False


@dataclass(frozen=True)
class Patch:
    """A patch file, with what it says of itself."""

    name: str
    bytes: int
    md5: str
    sha256: str
    base: str | None
    """From git format-patch --base; most patches do not say."""
    commits: int
    files: tuple[Changed, ...]

    @property
    def added(self) -> int:
        return sum(one.added or 0 for one in self.files)

    @property
    def removed(self) -> int:
        return sum(one.removed or 0 for one in self.files)

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.files]


@dataclass(frozen=True)
class Tree:
    """A source tree, and how the patch stands to it."""

    path: Path
    head: str
    is_dirty: bool | None
    upstream_base: str | None
    """Merge base with origin's main branch, where that is known locally."""
    applies: str
    """"yes", "already applied", or why not."""
    changed: tuple[Path, ...] = field(default=())
    """Files of the patch that are in the tree: regular files, inside it."""


def read_patch(path: Path) -> Patch:
    """Return what the file says; raise `PatchError` where it is not a patch."""
    try:
        with path.open("rb") as file:
            data = file.read(PATCH_BYTES_MAX + 1)
    except OSError as error:
        raise PatchError(f"--patch={path}: cannot read: {error.strerror}") from None
    if len(data) > PATCH_BYTES_MAX:
        raise PatchError(f"--patch={path}: more than {PATCH_BYTES_MAX} bytes; is this a patch?")
    numbers = _git_apply(path.resolve().parent, "--numstat", "-z", str(path.resolve()))
    if numbers.returncode or not numbers.stdout:
        said = numbers.stderr.decode("utf-8", "replace").strip().splitlines()
        raise PatchError(f"--patch={path}: git finds no patch in it{': ' + said[0] if said else ''}")
    new = set(
        re.findall(rb"^new file mode.*\n(?:index .*\n)?(?:--- .*\n\+\+\+ b/(.*)\n)?", data, re.MULTILINE)
    )
    base = _BASE.search(data)
    return Patch(
        path.name,
        len(data),
        hashlib.md5(data, usedforsecurity=False).hexdigest(),
        hashlib.sha256(data).hexdigest(),
        base[1].decode() if base else None,
        len(_FROM.findall(data)),
        tuple(
            _changed(line, new) for line in numbers.stdout.split(b"\0")[:FILES_MAX] if line.count(b"\t") == 2
        ),
    )


def _changed(line: bytes, new: set[bytes]) -> Changed:
    added, removed, name = line.split(b"\t")
    path = name.decode("utf-8", "replace")
    counts = [int(one) if one.isdigit() else None for one in (added, removed)]
    return Changed(path, counts[0], counts[1], name in new)


def read_tree(path: Path, patch_path: Path | None, patch: Patch | None) -> Tree:
    """Return the tree's state; raise `PatchError` where it is not a git checkout."""
    head = git(path, "rev-parse", "HEAD")
    if head is None:
        raise PatchError(f"--torch-source={path}: not a git checkout with a commit, or git is missing")
    status = git(path, "status", "--porcelain", "--untracked-files=no")
    bases = (
        git(path, "merge-base", "HEAD", name) for name in ("origin/main", "origin/master", "upstream/main")
    )
    return Tree(
        path,
        head,
        None if status is None else bool(status),
        next((one for one in bases if one), None),
        "no patch was given" if patch_path is None else _applies(path, patch_path.resolve()),
        tuple(_inside(path, patch.paths)) if patch is not None else (),
    )


def _applies(tree: Path, patch: Path) -> str:
    forward = _git_apply(tree, "--check", str(patch))
    if not forward.returncode:
        return "yes"
    if not _git_apply(tree, "--check", "--reverse", str(patch)).returncode:
        return "already applied"
    said = forward.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"no: {said[0] if said else f'git apply ended with status {forward.returncode}'}"


def _git_apply(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run `git apply` with checks only: nothing is written, and the tree's configuration starts no program."""
    try:
        return run_git(folder, "apply", *arguments, timeout_s=_GIT_TIMEOUT_S)
    except (OSError, subprocess.SubprocessError) as error:
        raise PatchError(f"git apply cannot be run: {error}") from None


def _inside(tree: Path, names: list[str]) -> list[Path]:
    """Return the named files that really are in the tree: a patch can name anything."""
    root = tree.resolve()
    found = []
    for name in names:
        path = (root / name).resolve()
        if path.is_relative_to(root) and path.is_file() and not (root / name).is_symlink():
            found.append(path.relative_to(root))
    return found
