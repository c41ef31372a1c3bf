"""Select the code that is perturbed at its line and opcode boundaries."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

from stress.model.shipped import DATA_IN_WHEEL

_FRAMEWORK = os.path.realpath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir)) + os.sep
_NOT_FRAMEWORK = str(DATA_IN_WHEEL) + os.sep
"""Scenarios that come in a wheel lie below the package: without this they would run undisturbed there alone."""
INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class TraceScope:
    """The files whose boundaries count: those below some directories, and some modules by name.

    Directories are the scenario's or test's own folder, so that its sibling modules are in: a two-line
    race in an imported helper was found in 0 of 20 attempts while only the test's own file was traced.
    Installed packages below a directory (a virtual environment in the project) are out, and so is this
    framework. `modules` are dotted prefixes: "torch.nn" covers torch.nn.modules.linear.
    """

    files_under: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()

    def covers(self, filename: str, module_name: str) -> bool:
        """Whether code from `filename`, running as module `module_name`, is perturbed."""
        if filename.startswith("<"):
            return False
        path = os.path.realpath(filename)
        if path.startswith(_FRAMEWORK) and not path.startswith(_NOT_FRAMEWORK):
            return False
        if any(module_name == prefix or module_name.startswith(prefix + ".") for prefix in self.modules):
            return True
        return any(_is_own(path, os.path.realpath(folder)) for folder in self.files_under)


def _is_own(path: str, folder: str) -> bool:
    prefix = folder.rstrip(os.sep) + os.sep
    return path.startswith(prefix) and not any(
        part in INSTALLED for part in path[len(prefix) :].split(os.sep)
    )


@functools.lru_cache(maxsize=64)
def verdicts_of(scope: TraceScope) -> dict[str, bool]:
    """Return the process-wide memory of `scope`: file name as in a code object -> whether it is covered."""
    return {}
