"""What the two ways to start a child, `fork_server` and `spawner`, have in common. Parent side."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stress.model import system
from stress.model.errors import UserError
from stress.model.quiet import NUMPY_WARNING

_PACKAGE = Path(__file__).resolve().parent.parent


class IsolationError(UserError):
    """A child process could not be started; the text says why and what to do."""


@dataclass(frozen=True)
class Exit:
    """The end of a child: ``code`` as in subprocess (negative: minus the signal)."""

    code: int
    cpu_s: float
    peak_rss_bytes: int


class Child(Protocol):
    """A running child."""

    pid: int

    def wait(self, timeout_s: float) -> Exit | None:
        """Return the exit, or None when it still runs after `timeout_s`."""
        ...

    def signal(self, number: int) -> None: ...
    def kill_group(self) -> None: ...
    def close(self) -> None:
        """Release the child's resources, including stragglers of its process group."""
        ...


# Not `sys.path.insert(0, ...)`: after `pip install` the package's folder is site-packages, and a torch that PYTHONPATH
# puts before it would be another one in children than in the parent. Nor a path at its end, where another `stress` may
# come first. So the package is loaded by its file, and the path stays that of a fresh interpreter.
_START = """\
import importlib.util, sys, warnings
warnings.filterwarnings("ignore", {warning!r}, UserWarning)
spec = importlib.util.spec_from_file_location({package!r}, {file!r})
sys.modules[{package!r}] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[{package!r}])
from {module} import main
main()
"""


def interpreter(module: str, python: str = sys.executable) -> list[str]:
    """Return the command that runs `module`'s main() in a fresh interpreter, without the user's folder on its path."""
    file = str(_PACKAGE / "__init__.py")
    return [
        python, "-P", "-c", _START.format(warning=NUMPY_WARNING, package=_PACKAGE.name, file=file, module=module),
    ]  # fmt: skip


def can_fork() -> bool:
    """Whether children are forked: where the system can, unless the user wants them spawned."""
    wanted = os.environ.get("MPS_STRESS_START_METHOD", "")
    if wanted not in ("", "fork", "spawn"):
        raise IsolationError(f"MPS_STRESS_START_METHOD={wanted}: use fork or spawn")
    return system.can_fork() and wanted != "spawn"
