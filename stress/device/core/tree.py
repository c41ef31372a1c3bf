"""What a PyTorch source tree is: its version, the files that are taken from it, and what git says of them.

Only the folders in `USED_FOLDERS` are looked at, so that a tree of 20,000 files costs some milliseconds. Their content is
the tree's identity; a commit alone is none, because files may differ from it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stress.model.errors import OptionError
from stress.record.machine import git

ATEN = "aten/src/ATen"
CORE = f"{ATEN}/mps"
USED_FOLDERS = (CORE, f"{ATEN}/native/mps", "torch/csrc/mps")
USED_FILES = (f"{ATEN}/detail/MPSHooksInterface.h", f"{ATEN}/detail/MPSHooksInterface.cpp", "version.txt")
OPERATIONS = f"{ATEN}/native/mps/operations/"
OPERATIONS_USED = ("Copy.mm", "View.mm")
"""The operators' own sources are used where they are asked for; these two always."""
NATIVE_FUNCTIONS = f"{ATEN}/native/native_functions.yaml"
"""The list of operators with the function that serves each; used with the operators alone."""
_SOURCES = (".mm", ".cpp")
_SUFFIXES = (*_SOURCES, ".h", ".metal", ".txt")
_REJECTED = ".rej"
"""What `patch` leaves beside a file that it could change in part only."""
_VERSION = re.compile(r"(\d+)\.(\d+)\S*")
_CONFLICT = re.compile(rb"^(?:<{7}|>{7})(?: |\r?$)", re.MULTILINE)
_SHORT_COMMIT_CHARS = 7
_SHORT_HASH_CHARS = 12
_NAMES_SHOWN = 3


@dataclass(frozen=True)
class GitState:
    """What git says of the used files of a checkout."""

    commit: str
    dirty: tuple[str, ...]
    """Used files that differ from the commit or are not in it, as paths in the tree, sorted."""
    unmerged: tuple[str, ...]
    """Used files with an unfinished merge."""


@dataclass(frozen=True)
class PytorchTree:
    """A source tree of PyTorch, as it was when it was inspected."""

    root: Path
    """Absolute, links resolved."""
    given: str
    """The path as the user wrote it."""
    version: str
    """First line of version.txt, such as 2.6.0a0."""
    hashes: Mapping[str, str]
    """Path in the tree -> SHA-256, of every used file, sorted."""
    git: GitState | None
    """None: the tree is no checkout of its own, or git cannot read it."""
    half_applied: tuple[str, ...]
    """Traces of a patch or merge that stopped half-way, each with its file; empty in a sound tree."""
    operators: str = "cpu"
    """"tree": its own operators are used as well."""

    @property
    def major_minor(self) -> tuple[int, int]:
        found = _VERSION.match(self.version)
        assert found is not None  # `inspect` has refused any other
        return int(found[1]), int(found[2])

    @cached_property
    def content(self) -> str:
        """Return the hash of all used files: two trees with the same one build the same library."""
        return _digest(self.hashes)

    @property
    def patch(self) -> str | None:
        """Return the hash of the files that differ from the commit; None without any. A removed file counts as "removed"."""
        if self.git is None or not self.git.dirty:
            return None
        return _digest({name: self.hashes.get(name, "removed") for name in self.git.dirty})

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the used files that are compiled, as paths in the tree."""
        return tuple(name for name in self.hashes if name.endswith(_SOURCES))

    def describe(self) -> str:
        """Return which code it is: path, commit, and every way in which it is not that commit."""
        if self.git is None:
            why = "git cannot read it" if (self.root / ".git").exists() else "not in git"
            state = f", {why}, version {self.version}, content {self.content[:_SHORT_HASH_CHARS]}"
        elif self.git.dirty:
            state = f" at {self.git.commit[:_SHORT_COMMIT_CHARS]}, modified: {_named(self.git.dirty)}"
        else:
            state = f" at {self.git.commit[:_SHORT_COMMIT_CHARS]}, unmodified"
        halves = f", HALF-APPLIED: {_named(self.half_applied)}" if self.half_applied else ""
        return f"ATen/mps of {self.given}{state}{halves}"

    def to_data(self) -> dict[str, object]:
        """Return what a record says of it."""
        return {
            "tree": str(self.root),
            "version": self.version,
            "content": self.content,
            "commit": self.git.commit if self.git is not None else None,
            "dirty": list(self.git.dirty) if self.git is not None else None,
            "patch": self.patch,
            "half_applied": list(self.half_applied),
            "operators": self.operators,
        }


def device_text(tree: PytorchTree, left_out: Sequence[str] = ()) -> str:
    """Return what header and records call the device. It is never called `mps`.

    `left_out`: the families of operators that stay with torch's CPU kernels where the others are the tree's.
    """
    but = f", but {', '.join(left_out)}: CPU kernels" if left_out else ""
    kernels = f"operators: tree's{but}" if tree.operators == "tree" else "kernels are torch's CPU kernels"
    return f"core ({tree.describe()}, on simulated Metal; {kernels})"


def inspect(given: str, operators: str = "cpu") -> PytorchTree:
    """Return what the folder holds; raise `OptionError` where it is no tree of PyTorch with an MPS backend.

    `operators` is "cpu", or "tree" where the tree's own operators are used as well.
    """
    folder = Path(given).expanduser()
    if not folder.exists():
        raise _refused(given, "no such folder")
    if not folder.is_dir():
        raise _refused(given, "not a folder", ": give the root of a PyTorch source tree")
    root = folder.resolve()
    _require_pytorch(given, root)
    try:
        names = sorted(_used(root, operators))
        contents = {name: (root / name).read_bytes() for name in names}
    except OSError as error:
        raise _refused(given, f"it cannot be read ({error})") from error
    if not any(name.startswith(f"{CORE}/") and name.endswith(_SOURCES) for name in names):
        raise _refused(
            given,
            f"{CORE} is missing or has no sources",
            ": a PyTorch before 1.12 has no MPS backend; in a sparse checkout, add the folder with git sparse-checkout",
        )
    state = _git_state(root, operators)
    return PytorchTree(
        root=root,
        given=given,
        version=_version(given, contents),
        hashes={
            name: hashlib.sha256(content).hexdigest()
            for name, content in contents.items()
            if not name.endswith(_REJECTED)
        },
        git=state,
        half_applied=_half_applied(contents, state),
        operators=operators,
    )


def require_sound(tree: PytorchTree) -> None:
    """Raise `OptionError` for a tree in which a patch or a merge stopped half-way."""
    if tree.half_applied:
        raise _refused(
            tree.given,
            f"a patch or merge in it is half-applied: {_named(tree.half_applied)}",
            ": finish it or undo it; with --force, mps-stress core build takes the files as they are",
        )


def is_used(name: str, operators: str = "cpu") -> bool:
    """Return whether the file at this path in a tree is part of what is built."""
    if name in USED_FILES or (operators == "tree" and name == NATIVE_FUNCTIONS):
        return True
    if not name.startswith(tuple(f"{folder}/" for folder in USED_FOLDERS)):
        return False
    if operators == "cpu" and name.startswith(OPERATIONS) and name.endswith(_SOURCES):
        return name.removeprefix(OPERATIONS) in OPERATIONS_USED
    return name.endswith(_SUFFIXES)


def _used(root: Path, operators: str) -> Iterator[str]:
    """Yield paths in the tree of used files, and of what a failed patch left beside them."""
    yield from (name for name in _single_files(operators) if (root / name).is_file())
    for folder in USED_FOLDERS:
        for where, _, names in os.walk(root / folder, onerror=_raise):
            inside = Path(where).relative_to(root).as_posix()
            paths = (f"{inside}/{name}" for name in names)
            yield from (path for path in paths if is_used(path, operators) or path.endswith(_REJECTED))


def _single_files(operators: str) -> tuple[str, ...]:
    return (*USED_FILES, NATIVE_FUNCTIONS) if operators == "tree" else USED_FILES


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _require_pytorch(given: str, root: Path) -> None:
    if (root / ATEN).is_dir():
        return
    inner = next((one for one in ("pytorch", "torch", "src") if (root / one / ATEN).is_dir()), None)
    outer = next((one for one in root.parents if (one / ATEN).is_dir()), None)
    if inner is not None:
        way_out = f": give {Path(given) / inner}"
    elif outer is not None:
        way_out = f": give {outer}, the root of the tree that it lies in"
    elif (root / "include" / "ATen").is_dir():
        way_out = (
            ": this is an installed torch; its sources are needed, such as a checkout of pytorch/pytorch"
        )
    else:
        way_out = ": give the root of a PyTorch source tree, such as a checkout of pytorch/pytorch"
    raise _refused(given, f"not a PyTorch source tree, {ATEN} is missing", way_out)


def _version(given: str, contents: Mapping[str, bytes]) -> str:
    text = contents.get("version.txt")
    if text is None:
        raise _refused(given, "version.txt is missing, so it cannot be compared with the installed torch")
    line = text.decode("utf-8", "replace").strip().partition("\n")[0].strip()
    if not _VERSION.match(line):
        raise _refused(
            given, f"version.txt says {line[:40]!r}, which is no version", ": restore it (git checkout)"
        )
    return line


def _git_state(root: Path, operators: str) -> GitState | None:
    """Return what git says; None where `root` is not the root of a checkout with a commit."""
    # A tree that was unpacked inside another checkout has that one's commit, which says nothing about it.
    if git(root, "rev-parse", "--show-prefix") != "":
        return None
    commit = git(root, "rev-parse", "--verify", "HEAD")
    places = (*USED_FOLDERS, *_single_files(operators))
    status = git(
        root, "status", "--porcelain=v2", "-z", "--untracked-files=all", "--no-renames", "--", *places
    )
    if commit is None or status is None:
        return None
    dirty, unmerged = set(), set()
    for entry in filter(None, status.split("\0")):
        # Fields before the path, by the kind of line: see git-status(1), "Porcelain Format Version 2".
        kind = entry[0]
        name = entry.split(" ", {"1": 8, "u": 10, "?": 1}.get(kind, 1))[-1]
        if is_used(name, operators):
            dirty.add(name)
            unmerged |= {name} if kind == "u" else set()
    return GitState(commit, tuple(sorted(dirty)), tuple(sorted(unmerged)))


def _half_applied(contents: Mapping[str, bytes], state: GitState | None) -> tuple[str, ...]:
    found = []
    for name, content in contents.items():
        if name.endswith(_REJECTED):
            found.append(f"{name} (rejected hunks)")
        elif (marker := _CONFLICT.search(content)) is not None:
            line = content.count(b"\n", 0, marker.start()) + 1
            found.append(f"{name}:{line} (conflict marker)")
    marked = {one.partition(":")[0] for one in found}
    unmerged = state.unmerged if state is not None else ()
    return (*found, *(f"{name} (unmerged in git)" for name in unmerged if name not in marked))


def _named(names: tuple[str, ...]) -> str:
    """Return the first few names, short, and how many more there are."""
    shown = ", ".join(
        name.removeprefix(f"{CORE}/").removeprefix("aten/src/") for name in names[:_NAMES_SHOWN]
    )
    more = len(names) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _digest(hashes: Mapping[str, str]) -> str:
    text = "\n".join(f"{name} {value}" for name, value in hashes.items())
    return hashlib.sha256(text.encode()).hexdigest()


def _refused(given: str, reason: str, way_out: str = "") -> OptionError:
    return OptionError(reason, option=f"pytorch={given}", way_out=way_out)
