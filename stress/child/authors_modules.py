"""The modules that an author wrote: the scenario's file, what lies beside it, and packages that are not installed."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import torch

from stress.child.perturb import TraceScope
from stress.child.perturb.scope import INSTALLED

_LIBRARY = tuple(
    os.path.join(folder, "")
    for folder in {
        *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib")),
        os.path.dirname(os.path.abspath(torch.__file__)),
    }
)

_NOT_AUTHORS = ("stress", "torch")


class AuthorsModules:
    """Which of the loaded modules are the author's. `names` grows as modules are loaded."""

    def __init__(
        self, scenario_path: str, trace_modules: Sequence[str] = (), known: Iterable[str] = ()
    ) -> None:
        """`trace_modules` are dotted prefixes of installed packages that count as the author's, too; modules that are
        `known` by name never do.
        """
        self._folder = str(Path(scenario_path).parent)
        self._scope = TraceScope((self._folder, Path(scenario_path).anchor), tuple(trace_modules))
        self._known: set[str] = set(known)
        self.names: dict[str, None] = {}
        """In the order of loading."""

    def loaded(self) -> list[ModuleType]:
        """Return the author's modules among those that are loaded now, in the order of loading."""
        if new := sys.modules.keys() - self._known:  # of two thousand, at most a few
            for name, new_module in list(sys.modules.items()):
                if name in new:
                    self._look_at(name, new_module)
        return [module for name in self.names if isinstance(module := sys.modules.get(name), ModuleType)]

    def _look_at(self, name: str, module: object) -> None:
        self._known.add(name)
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and isinstance(module, ModuleType) and self._is_authors(file, name):
            self.names[module.__name__] = None

    def _is_authors(self, file: str, name: str) -> bool:
        if (
            not os.path.isabs(file) or name.partition(".")[0] in _NOT_AUTHORS
        ):  # torch.ops has a file "_ops.py"
            return False
        is_installed = any(part in file for part in INSTALLED) and not file.startswith(self._folder)
        # Before the scope is asked, which resolves links: of two thousand modules that takes a tenth of a second.
        if (is_installed and not self._scope.modules) or (file.startswith(_LIBRARY) and not is_installed):
            return False
        return self._scope.covers(file, name)
