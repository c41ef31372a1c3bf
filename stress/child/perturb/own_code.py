"""Which code is the user's own: the project's folder and editable installs, less what is merely installed."""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote
from urllib.parse import urlparse

_SELF = "mps-stress"


def editable_installs() -> dict[str, Path]:
    """Return the folders of distributions that are installed in place (`pip install -e`), by name; without this one."""
    found = {}
    for one in importlib.metadata.distributions():
        text = one.read_text("direct_url.json")
        if text is None or '"editable"' not in text:
            continue
        try:
            data = json.loads(text)
            is_editable = data["dir_info"]["editable"] is True
            folder = Path(unquote(urlparse(data["url"]).path))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # written by another tool, or by hand
        name = str(one.metadata["Name"])
        if is_editable and name != _SELF:
            found[name] = folder
    return found


def own_folders(rootdir: Path, editable: Iterable[Path] | None = None) -> tuple[str, ...]:
    """Return the folders whose lines are perturbed beside a scenario's or test's own: see `TraceScope`."""
    folders = editable_installs().values() if editable is None else editable
    return tuple(dict.fromkeys(map(str, [rootdir, *folders])))


def can_be_found(module: str, folders: Iterable[Path]) -> bool:
    """Whether a dotted name is a module's, on `sys.path` or in one of `folders`. Imports nothing."""
    name, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # ValueError: a module without a spec, such as `__main__`
        spec = None
    spec = spec or importlib.machinery.PathFinder.find_spec(name, list(map(str, folders)))
    if spec is None:
        return name in sys.modules and not rest
    for part in rest:
        name = f"{name}.{part}"
        places = spec.submodule_search_locations
        spec = importlib.machinery.PathFinder.find_spec(name, list(places)) if places is not None else None
        if spec is None:
            return name in sys.modules
    return True
