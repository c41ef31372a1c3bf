"""The list of real bugs, and copies of a tree with some of them fixed."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.device.core.tree import PytorchTree
from stress.device.core.tree import inspect
from stress.device.core.tree import is_used

LIST = Path(__file__).with_name("bugs.toml")
SHOWS = ("crash", "race", "hang", "value")
_REQUIRED = {
    "name": str,
    "where": str,
    "what": str,
    "case": str,
    "threads": int,
    "shows": str,
    "upstream": list,
}
_OPTIONAL = ("says", "metal", "operators")


class BugError(ValueError):
    """The list, or a fix in this tree, cannot be used; the text says which."""


@dataclass(frozen=True)
class Edit:
    """One change of one file of a tree: a text that stands in it exactly once, and what takes its place."""

    file: str
    find: str
    replace: str

    def apply(self, root: Path, fix_of: str) -> None:
        """Change the file in the tree at `root`; raise `BugError` where it does not fit."""
        path = root / self.file
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise BugError(
                f"fix of {fix_of}: {self.file} cannot be read ({error.strerror}) in {root}"
            ) from error
        times = text.count(self.find)
        if times != 1:
            first = self.find.strip().partition("\n")[0]
            found = f"stands {times} times in {self.file}" if times else f"is not in {self.file}"
            raise BugError(
                f"fix of {fix_of}: {first!r} {found} of {root}: another version, or fixed already?"
            )
        path.write_text(text.replace(self.find, self.replace), encoding="utf-8")


@dataclass(frozen=True)
class RealBug:
    """A bug of PyTorch's MPS backend, how it is seen, and what mends it."""

    name: str
    where: str
    what: str
    case: str
    threads: int
    metal: str
    """Options of the simulated Metal under which it shows; empty: any."""
    shows: str
    says: tuple[str, ...]
    """Texts of which one stands in the output of every run; empty: it may be any."""
    upstream: tuple[str, ...]
    edits: tuple[Edit, ...]
    is_of_operators: bool = False
    """Whether the case is one of `operator_cases`, which needs the tree's own operators."""


def load(path: Path = LIST) -> tuple[RealBug, ...]:
    """Return the bugs in a list; raise `BugError`."""
    with path.open("rb") as file:
        data = tomllib.load(file)
    bugs = tuple(_bug(entry) for entry in data["bug"])
    names = [one.name for one in bugs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise BugError(f"{path}: {', '.join(sorted(twice))} stands there twice")
    return bugs


def fixed_copy(tree: PytorchTree, folder: Path, bugs: Sequence[RealBug]) -> PytorchTree:
    """Return a copy of the tree's used files at `folder`, in which these bugs are fixed.

    It is named after the tree and the fixes: `2.6.0 with fixes of two-profilers`. Raise `BugError` where a fix does not
    fit. An edit that several of the fixes share is made once, and one of an operator's file is left out where the
    tree's operators are not used.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name in tree.hashes:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree.root / name, folder / name)
    made: set[Edit] = set()
    for bug in bugs:
        for edit in bug.edits:
            is_of_others = is_used(edit.file, "tree") and not is_used(edit.file, tree.operators)
            if edit not in made and not is_of_others:
                edit.apply(folder, bug.name)
            made.add(edit)
    return inspect(str(folder), tree.operators)


def title(tree: PytorchTree, bugs: Sequence[RealBug]) -> str:
    """Return what a copy is called in results."""
    return (
        f"{tree.describe()} with fixes of {', '.join(one.name for one in bugs)}" if bugs else tree.describe()
    )


def _bug(entry: Mapping[str, Any]) -> RealBug:
    name = entry.get("name", "an entry without a name")
    edits = tuple(Edit(one["file"], one["find"], one["replace"]) for one in entry.get("edits", ()))
    for key, kind in _REQUIRED.items():
        if not isinstance(entry.get(key), kind):
            raise BugError(f"{name}: {key} is missing, or no {kind.__name__}")
    unknown = set(entry) - {*_REQUIRED, *_OPTIONAL, "edits"}
    if unknown or not edits:
        raise BugError(f"{name}: {f'unknown keys {sorted(unknown)}' if unknown else 'no edits'}")
    if entry["shows"] not in SHOWS:
        raise BugError(f"{name}: shows = {entry['shows']!r}: choose one of {', '.join(SHOWS)}")
    return RealBug(
        **{key: entry[key] for key in _REQUIRED if key != "upstream"},
        says=(said,) if isinstance(said := entry.get("says", ()), str) else tuple(said),
        metal=str(entry.get("metal", "")),
        upstream=tuple(entry["upstream"]),
        edits=edits,
        is_of_operators=bool(entry.get("operators", False)),
    )
