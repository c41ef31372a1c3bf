"""From a node id to the scenario's class, inside the current rootdir and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.commands import CommandError
from stress.commands.replay.find import shown
from stress.model.errors import BrokenScenario
from stress.model.shipped import shipped_file
from stress.model.shipped import shipped_scenarios
from stress.model.spec import ScenarioRef
from stress.scenario.declarations import class_problem
from stress.scenario.file import load_class
from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import Scenario
from stress.scenario.variants import variants

THREADS_DEFAULT = 8


@dataclass(frozen=True)
class Resolved:
    """A scenario class that was found and imported, with the values of one item."""

    nodeid: str
    ref: ScenarioRef
    cls: type[Any]
    params: Mapping[str, str]
    env: Mapping[str, str]
    threads: int

    @property
    def is_process(self) -> bool:
        return issubclass(self.cls, ProcessScenario)

    @property
    def path(self) -> Path:
        return Path(self.ref.path)


def resolve_item(
    item: str,
    rootdir: Path,
    *,
    env: Mapping[str, str],
    threads: int,
    place: str,
    sys_path: Sequence[str] = (),
) -> Resolved:
    """Return what a record's node id names; raise `CommandError` with the record's file and line.

    The environment is the class's own: the record's only says which of them it was.
    """
    file, separator, name = item.partition("::")
    if not separator or "::" in name or "[" not in name:
        raise CommandError(f"{place}: item is {shown(item, 80)}: expected FILE::CLASS[PARAMETERS]")
    path = _inside(file, rootdir, place)
    _extend_path(rootdir.resolve(), sys_path)
    cls, module = _load(path, name.partition("[")[0], rootdir)
    for variant in variants(cls, name.partition("[")[0], threads):
        if variant.name == name and dict(variant.environment) == dict(env):
            ref = ScenarioRef(str(path), module, cls.__qualname__, variant.indices)
            return Resolved(item, ref, cls, variant.params, variant.environment, threads)
    raise CommandError(
        f"{place}: {path.name} has no {shown(name, 80)} with these variables any more: the scenario was changed "
        "since (check out the record's commit, or run it again)"
    )


def resolve_name(text: str, rootdir: Path, threads: int | None) -> Resolved:
    """Return what a person names, FILE::CLASS or FILE::CLASS[PARAMETERS]; raise `CommandError`."""
    file, separator, name = text.partition("::")
    if not separator or "::" in name:
        raise CommandError(f"{shown(text)}: expected FILE::CLASS, as in scenarios/linear.py::SharedLinear")
    class_name, bracket, _ = name.partition("[")
    path = _inside(file, rootdir, text)
    cls, module = _load(path, class_name, rootdir)
    count = threads or _threads_in(name) or _fitting(cls)
    found = list(variants(cls, class_name, count))
    chosen = next((one for one in found if one.name == name), None) if bracket else found[0]
    if chosen is None:
        raise CommandError(f"{shown(text)}: {path.name} has {', '.join(one.name for one in found)}")
    ref = ScenarioRef(str(path), module, cls.__qualname__, chosen.indices)
    return Resolved(f"{file}::{chosen.name}", ref, cls, chosen.params, chosen.environment, count)


def _threads_in(name: str) -> int | None:
    digits = name.removesuffix("]").rpartition("t")[2]
    return int(digits) if "[" in name and digits.isdigit() and len(digits) < 5 else None


def _fitting(cls: type[Any]) -> int:
    """Return the usual thread count, or the nearest one that makes sense for the class."""
    return max(cls.threads_min, min(THREADS_DEFAULT, cls.threads_max or THREADS_DEFAULT))


def _inside(file: str, rootdir: Path, place: str) -> Path:
    """Return the file below the rootdir, or among the shipped scenarios; refuse every other place."""
    root = rootdir.resolve()
    try:
        given = root / file
        path = (given if given.exists() else shipped_file(file) or given).resolve()
        if path.is_relative_to(root) or path.is_relative_to(shipped_scenarios().resolve()):
            if path.suffix == ".py" and path.is_file():
                return path
            raise CommandError(
                f"{place}: no {shown(file, 200)} in {root}: go to pytest's rootdir, or give --rootdir=DIR"
            )
    except (OSError, ValueError) as error:
        raise CommandError(f"{place}: {shown(file, 200)} cannot be a file: {error}") from None
    raise CommandError(f"{place}: {shown(file, 200)} leads out of {root}: only scenarios inside it are run")


def _extend_path(root: Path, folders: Sequence[str]) -> None:
    """Import from where pytest did, as far as that is below the rootdir: a record may name any place."""
    for folder in reversed([(root / one).resolve() for one in folders]):
        if folder.is_relative_to(root) and folder.is_dir() and str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


def _load(path: Path, name: str, rootdir: Path) -> tuple[type[Any], str]:
    """Import the file under the name that pytest gives it, and return the scenario's class."""
    module, root = module_name(path)
    for folder in (str(rootdir.resolve()), str(root)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    if not name.isidentifier():
        raise CommandError(f"{path.name}: {shown(name, 80)} is not the name of a class")
    try:
        cls = load_class(ScenarioRef(str(path), module, name, ()))
    except BrokenScenario as error:
        raise CommandError(shown(str(error).partition("\n")[0])) from None  # without the trace
    if not (isinstance(cls, type) and issubclass(cls, Scenario | ProcessScenario)):
        raise CommandError(f"{path}: {name} is not a scenario")
    problem = class_problem(cls)
    if problem is not None:
        raise CommandError(f"{path}: {name}: {problem}")
    return cls, module


def module_name(path: Path) -> tuple[str, Path]:
    """Return the dotted name of a file and the folder that makes it importable."""
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts), folder
