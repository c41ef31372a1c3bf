"""Import the author's file as pytest imported it, but without pytest: classes and bound scenarios."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from stress.model.errors import BrokenScenario
from stress.model.spec import ScenarioRef
from stress.scenario.scenario import bind


def load_scenario(
    ref: ScenarioRef, *, threads: int, device_type: str, overrides: Mapping[str, Any] | None = None
) -> Any:
    """Import the author's file and bind the parameters."""
    return bind(load_class(ref), ref.indices, threads=threads, device_type=device_type, overrides=overrides)


def load_class(ref: ScenarioRef) -> Any:
    """Import the author's file, without pytest and without `conftest.py`, and return the scenario's class."""
    module = import_module(ref)
    target: Any = module
    for part in ref.qualname.split("."):
        target = getattr(target, part, None)
    if target is None:
        raise BrokenScenario(
            f"{ref.path} has no {ref.qualname} when imported by itself: the child process does not load conftest.py, "
            "so a scenario must be defined by its own file"
        )
    return target


def import_module(ref: ScenarioRef) -> ModuleType:
    """Import by the name it has in pytest; by path when that name is another file here."""
    loaded = sys.modules.get(ref.module)
    if loaded is not None and getattr(loaded, "__file__", None) == ref.path:
        return loaded
    try:
        spec = importlib.util.find_spec(ref.module)
    except (ImportError, ValueError):
        spec = None
    try:
        if spec is not None and spec.origin is not None and Path(spec.origin) == Path(ref.path):
            return importlib.import_module(ref.module)
        spec = importlib.util.spec_from_file_location(ref.module, ref.path)
        if spec is None or spec.loader is None:
            raise BrokenScenario(f"{ref.path} cannot be imported as a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[ref.module] = module
        spec.loader.exec_module(module)
    except BrokenScenario:
        raise
    except BaseException as error:
        raise BrokenScenario(
            f"{ref.path} cannot be imported in the child process, which does not load conftest.py: "
            f"{type(error).__name__}: {error}\n{traceback.format_exc(limit=-4)}"
        ) from error
    return module
