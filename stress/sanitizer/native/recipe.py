"""Recipes of native programs: a small TOML file each, so that the harness and the tests' programs are built alike.

name = "mps-harness"
root = "../harness"                       # relative to this file, as are all other paths
includes = ["."]                          # relative to the root
instrumented = ["native/*.cpp"]           # patterns below the root
uninstrumented = ["native/uninstrumented/*.cpp"]
not_under_test = ["native/switch.h"]      # headers that may opt out of instrumentation: no case is about what is in them
flags = ["-std=c++20"]
suppressions = "suppressions.txt"

[linux]                                   # added to the above on that system; [darwin] likewise
instrumented = ["simulated_metal/*.mm"]
link = ["-ldl"]
"""

from __future__ import annotations

import importlib.util
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCES = (".cpp", ".mm")
HEADERS = (".h", ".inc")
_LISTS = ("includes", "instrumented", "uninstrumented", "not_under_test", "flags", "link")
_TEXTS = ("name", "root", "suppressions")
_SYSTEMS = ("linux", "darwin")


class RecipeError(ValueError):
    """The file cannot be used; the text says what to change in it."""


@dataclass(frozen=True)
class Unit:
    """One translation unit."""

    source: Path
    name: str
    """Its path below the root, as shown to a person."""
    instrumented: bool

    @property
    def is_objective_c(self) -> bool:
        return self.source.suffix == ".mm"


@dataclass(frozen=True)
class Recipe:
    """A program to build, for this system."""

    file: Path
    name: str
    root: Path
    units: tuple[Unit, ...]
    includes: tuple[Path, ...]
    flags: tuple[str, ...]
    link: tuple[str, ...]
    suppressions: Path | None
    not_under_test: tuple[Path, ...] = ()
    """Headers that may ask the compiler not to instrument what is in them."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Return its sources and headers."""
        return (*(one.source for one in self.units), *self.headers)

    @property
    def under_test(self) -> list[Path]:
        """Return the files in which nothing may ask the compiler not to instrument it."""
        own = {one.source for one in self.units if one.instrumented}
        return sorted({*own, *self.headers} - {*self.not_under_test})

    @classmethod
    def load(cls, path: Path, system: str = sys.platform, torch: Path | None = None) -> Recipe:
        """Return the recipe in the file at `path` for a system; raise `RecipeError`.

        `torch` is the folder that {torch} stands for: that of the installed torch, where none is given.
        """
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RecipeError(f"{path}: cannot be read ({error.strerror or error})") from error
        except ValueError as error:
            raise RecipeError(f"{path}: not TOML: {error}") from error
        own = data.pop("linux" if system == "linux" else "darwin", {})
        for system in _SYSTEMS:
            data.pop(system, None)
        texts = {name: _text(data, name, path) for name in _TEXTS}
        lists = {name: [*_texts(data, name, path), *_texts(own, name, path)] for name in _LISTS}
        for key in [*data, *own]:
            raise RecipeError(
                f"{path}: unknown key {key!r}; known are {', '.join((*_TEXTS, *_LISTS, *_SYSTEMS))}"
            )
        if not texts["name"] or not texts["name"].replace("-", "").replace("_", "").isalnum():
            raise RecipeError(f'{path}: name must be a plain word, as in name = "mps-harness"')
        folder = path.resolve().parent
        root = (folder / texts["root"]).resolve()
        units = [
            *_units(path, root, lists["instrumented"], instrumented=True),
            *_units(path, root, lists["uninstrumented"], instrumented=False),
        ]
        twice = [one.name for one in units if sum(one.source == other.source for other in units) > 1]
        if twice:
            raise RecipeError(f"{path}: {twice[0]} is both instrumented and uninstrumented")
        if not any(one.instrumented for one in units):
            raise RecipeError(f"{path}: no instrumented source, so no race could be seen")
        return cls(
            path.resolve(),
            texts["name"],
            root,
            tuple(units),
            tuple((root / one).resolve() for one in lists["includes"]),
            tuple(_filled(one, root, torch, path) for one in lists["flags"]),
            tuple(_filled(one, root, torch, path) for one in lists["link"]),
            (folder / texts["suppressions"]).resolve() if texts["suppressions"] else None,
            _headers(path, root, lists["not_under_test"]),
        )

    @property
    def headers(self) -> list[Path]:
        """Return every header that a unit may include: those below the root."""
        return sorted(path for path in self.root.rglob("*") if path.suffix in HEADERS)


def _headers(path: Path, root: Path, names: Sequence[str]) -> tuple[Path, ...]:
    for one in names:
        if not (root / one).is_file() or Path(one).suffix not in HEADERS:
            raise RecipeError(f"{path}: not_under_test: {one} is no header in {root}")
    return tuple(root / one for one in names)


def _filled(argument: str, root: Path, torch: Path | None, path: Path) -> str:
    """Fill in what only this machine knows: {root} and {torch}."""
    if "{torch}" in argument:
        if torch is None:
            found = importlib.util.find_spec("torch")
            if found is None or found.origin is None:
                raise RecipeError(
                    f"{path}: {argument} needs torch, which is not installed: pip install torch"
                )
            torch = Path(found.origin).parent
        argument = argument.replace("{torch}", str(torch))
    return argument.replace("{root}", str(root))


def _text(data: dict[str, object], name: str, path: Path) -> str:
    value = data.pop(name, "")
    if not isinstance(value, str):
        raise RecipeError(f"{path}: {name} must be a text")
    return value


def _texts(data: object, name: str, path: Path) -> Sequence[str]:
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: {', '.join(_SYSTEMS)} must be tables")
    value = data.pop(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise RecipeError(f"{path}: {name} must be a list of texts")
    return value


def _units(path: Path, root: Path, patterns: Sequence[str], *, instrumented: bool) -> list[Unit]:
    """Return the sources that the patterns match; a pattern that matches nothing is a mistake."""
    units: dict[Path, Unit] = {}
    for pattern in patterns:
        found = [one for one in sorted(root.glob(pattern)) if one.suffix in SOURCES]
        if not found:
            raise RecipeError(f"{path}: {pattern} matches no .cpp or .mm file in {root}")
        units.update({one: Unit(one, str(one.relative_to(root)), instrumented) for one in found})
    return list(units.values())
