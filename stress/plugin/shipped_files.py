"""`scenarios/NAME.py` where there is no such file: the one that comes with the package, under the same node id everywhere.

Its path does not do as an argument: pytest would move the rootdir up to a folder that holds both, and its node id would be
relative to a folder of the package, so that neither `repeat:` nor `mps-stress replay` found it again.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from stress.model.shipped import shipped_file
from stress.model.shipped import shipped_name
from stress.model.shipped import shipped_scenarios


def resolve_arguments(config: pytest.Config) -> list[str]:
    """Put paths into the place of arguments that name shipped files; return these names. Raise `pytest.UsageError`."""
    names = []
    for index, argument in enumerate(config.args):
        file, separator, rest = argument.partition("::")
        path = _stands_for(config, file)
        if path is not None:
            names.append(f"{file}{separator}{rest}")
            config.args[index] = f"{path}{separator}{rest}"
        elif _moves_the_rootdir(config, file):
            name = shipped_name(Path(file))
            raise pytest.UsageError(
                f"{file}: by its path, pytest's rootdir, and with it the place of the records, would be {config.rootpath}: "
                f"name it {name}, which means the shipped file where there is no other, or add --rootdir=."
            )
    return names


def _stands_for(config: pytest.Config, file: str) -> Path | None:
    if any((base / file).exists() for base in (config.invocation_params.dir, config.rootpath)):
        return None
    return shipped_file(file)


def _moves_the_rootdir(config: pytest.Config, file: str) -> bool:
    is_shipped = (config.invocation_params.dir / file).resolve().is_relative_to(shipped_scenarios())
    start = config.invocation_params.dir.resolve()
    return is_shipped and config.inipath is None and config.rootpath.resolve() in start.parents


def shipped_module(path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Return the collector of a shipped file, with the node id that it has in a checkout; None for other files."""
    name = shipped_name(path)
    root = parent.config.rootpath
    if name is None or path.is_relative_to(root.resolve()) or (root / name).exists():
        return None
    module: pytest.Module = pytest.Module.from_parent(parent, path=path, nodeid=name)
    return module
