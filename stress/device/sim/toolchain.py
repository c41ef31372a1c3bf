"""The C++ compiler that builds the simulated device."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass

from stress.model.errors import BuildError

COMPILERS = ("g++", "clang++")
_VERSION_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler that was found, with the first line that it says about its version."""

    command: tuple[str, ...]
    version: str


def find_compiler() -> Compiler:
    """Return the compiler that $CXX names, else the first one on PATH; raise `BuildError` without one."""
    given = shlex.split(os.environ.get("CXX", ""))
    candidates = [given] if given else [[name] for name in COMPILERS]
    for command in candidates:
        path = shutil.which(command[0])
        if path is not None:
            return Compiler((path, *command[1:]), _version_line((path, *command[1:])))
    if given:
        raise BuildError(f"CXX={os.environ['CXX']} names no program: unset CXX, or set it to a C++ compiler")
    raise BuildError(
        f"no C++ compiler ({' or '.join(COMPILERS)}) was found on PATH: install one (Debian: apt-get install g++)"
    )


def _version_line(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(
            [*command, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_VERSION_TIMEOUT_S,
            check=True,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(
            f"the C++ compiler {command[0]} does not run ({error}): install another one"
        ) from error
    return next(iter(done.stdout.decode(errors="replace").splitlines()), "").strip() or command[0]
