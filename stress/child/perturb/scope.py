"""Select the code that is perturbed at its line and opcode boundaries."""

from __future__ import annotations

import functools
import os
import sys
import sysconfig
from dataclasses import dataclass

from stress.model.shipped import DATA_IN_WHEEL

_FRAMEWORK = os.path.realpath(os.path.join(os.path.dirname(__file__), os.pardir, os.pardir)) + os.sep
_NOT_FRAMEWORK = str(DATA_IN_WHEEL) + os.sep
"""Scenarios that come in a wheel lie below the package: without this they would run undisturbed there alone."""
INSTALLED = ("site-packages", "dist-packages")
_STANDARD = tuple({os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")})
"""The standard library: it may lie in the project, as with a conda environment there."""


@dataclass(frozen=True)
class TraceScope:
    """The files whose boundaries count: those below some directories, and some modules by name.

    Directories are the scenario's or test's own folder, pytest's rootdir and editable installs: a two-line race in a
    package beside `tests/` was found with 0 of 20 seeds while the test's folder alone was traced.
    Installed packages below a directory (a virtual environment in the project) are out, and so are the standard
    library, torch, even as a checkout that is worked on, and this framework. `modules` are dotted prefixes: "torch.nn"
    covers torch.nn.modules.linear.
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
        if any(path.startswith(one) for one in (*_STANDARD, *_torch())):
            return False
        return any(_is_own(path, os.path.realpath(folder)) for folder in self.files_under)


def _torch() -> tuple[str, ...]:
    """Return torch's folder where torch is imported: its lines are many, and no user's."""
    file = getattr(sys.modules.get("torch"), "__file__", None)
    return (os.path.dirname(os.path.realpath(file)) + os.sep,) if file else ()


def _is_own(path: str, folder: str) -> bool:
    prefix = folder.rstrip(os.sep) + os.sep
    return path.startswith(prefix) and not any(
        part in INSTALLED for part in path[len(prefix) :].split(os.sep)
    )


@functools.lru_cache(maxsize=64)
def verdicts_of(scope: TraceScope) -> dict[str, bool]:
    """Return the process-wide memory of `scope`: file name as in a code object -> whether it is covered."""
    return {}
