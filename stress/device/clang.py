"""Find a clang that can build Objective-C++ and run it under ThreadSanitizer, with all that a readable report needs.

A toolchain is usable only when it is complete: without a symbolizer every frame is `<null>`, and suppressions by
function name stop working as well. Debian's clang-19 looks for one in `/usr/bin/llvm-symbolizer-19` alone, which the
package llvm-19 has, so the symbolizer is found here and named to the runtime.

Before version 18, clang's runtime does not start where the kernel randomises addresses by 30 bits or more.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CLANG_VARIABLE = "MPS_STRESS_CLANGXX"
VERSION_MIN = 18
_NAMES = ("clang++-19", "clang++-20", "clang++-21", "clang++-22", "clang++-18", "clang++")
"""19 first: it is the one that was tried most."""
DEBIAN_PACKAGES = ("clang-19", "libclang-rt-19-dev", "llvm-19", "libblocksruntime-dev")
_APPLE_CLANG = "/usr/bin/clang++"
"""Apple's own, which finds the SDK by itself; a clang from elsewhere on PATH does not."""
_ASKING_TIMEOUT_S = 20.0
_VERSION = re.compile(r"^(?P<line>.*clang version (?P<major>\d+)\..*)$", re.MULTILINE)
_LIBRARIES = re.compile(r"^libraries: =(?P<folders>.*)$", re.MULTILINE)
_INSTALLED = re.compile(r"^InstalledDir: (?P<folder>.*)$", re.MULTILINE)


class ToolchainError(Exception):
    """ThreadSanitizer cannot be used here; the text says what is missing and how to get it."""


@dataclass(frozen=True)
class Toolchain:
    """A complete toolchain: everything named here exists."""

    clangxx: Path
    version: str
    """The compiler's version line."""
    runtime_library: Path
    """The shared runtime, to be preloaded into a program that is not instrumented itself (Python)."""
    symbolizer: Path
    nm: Path
    objective_c_headers: Path | None
    """Folder of GCC's `objc/*.h`; None on macOS, whose SDK has its own."""

    @property
    def is_apple(self) -> bool:
        return self.objective_c_headers is None


def find_toolchain(purpose: str = "ThreadSanitizer") -> Toolchain:
    """Return the compiler that $MPS_STRESS_CLANGXX names, else the first complete one.

    Raise `ToolchainError`, which says that `purpose` needs it.
    """
    given = os.environ.get(CLANG_VARIABLE)
    if not given and sys.platform == "darwin":
        _require_xcode(purpose)
    names = [given] if given else [_APPLE_CLANG] if sys.platform == "darwin" else list(_NAMES)
    problems = []
    for name in names:
        path = shutil.which(name)
        if path is None:
            continue
        found = _examine(Path(path))
        if isinstance(found, Toolchain):
            return found
        problems.append(found)
    if given and not problems:
        raise ToolchainError(f"{CLANG_VARIABLE}={given} names no program: unset it, or name a clang++")
    raise ToolchainError(
        f"{purpose} needs clang {VERSION_MIN} or newer with its runtime and a symbolizer: "
        f"{problems[0] if problems else 'no clang++ was found on PATH'}. {way_out()}"
    )


def way_out() -> str:
    """Return the sentence that says how to get the toolchain on this system."""
    if sys.platform == "darwin":
        return "Install Xcode or its command line tools: xcode-select --install"
    if shutil.which("apt-get"):
        return f"Install it: apt-get install {' '.join(DEBIAN_PACKAGES)}"
    return (
        "Install clang 19 with compiler-rt, llvm-symbolizer, GCC's Objective-C runtime (libobjc) with its headers, "
        "and the blocks runtime (libBlocksRuntime)"
    )


def _require_xcode(purpose: str) -> None:
    """Raise where there are no developer tools: asking the stub of clang would open a window."""
    try:
        asked = subprocess.run(
            ["xcode-select", "-p"], check=False, capture_output=True, timeout=_ASKING_TIMEOUT_S
        )
        missing = asked.returncode != 0
    except (OSError, subprocess.SubprocessError):
        missing = True
    if missing:
        raise ToolchainError(f"{purpose} needs Apple's clang, which is not installed. {way_out()}")


def _examine(clangxx: Path) -> Toolchain | str:
    """Return the toolchain around this compiler, or what is wrong with it."""
    try:
        asked = subprocess.run(
            [clangxx, "-v", "-print-search-dirs"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_ASKING_TIMEOUT_S,
            check=True,
            env=_plain_environment(),
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError) as error:
        return f"{clangxx} does not run ({error})"
    version, libraries, installed = (one.search(asked) for one in (_VERSION, _LIBRARIES, _INSTALLED))
    if version is None or libraries is None:
        return f"{clangxx} is not a clang"
    if sys.platform != "darwin" and int(version["major"]) < VERSION_MIN:
        return f"{clangxx} is {version['line'].strip()}"
    folders = [Path(folder) for folder in libraries["folders"].split(":") if folder]
    runtime = _runtime_library(folders[0]) if folders else None
    bins = [Path(installed["folder"])] if installed is not None else []
    symbolizer, nm = (
        _tool("llvm-symbolizer", bins, version["major"]),
        _tool("llvm-nm", bins, version["major"]),
    )
    if sys.platform == "darwin":
        symbolizer, nm = symbolizer or _tool("atos", []), nm or _tool("nm", [])
    else:
        nm = nm or _tool("nm", [])
    if runtime is None:
        return f"{clangxx} has no ThreadSanitizer runtime"
    if symbolizer is None:
        return f"{clangxx} has no symbolizer beside it, so no report could name a function"
    if nm is None:
        return "nm is missing, which counts what is instrumented"
    headers = _objective_c_headers(folders)
    missing = [] if sys.platform == "darwin" else _missing_libraries(folders, headers)
    if missing:
        return f"{clangxx} finds no {' and no '.join(missing)}"
    return Toolchain(clangxx, version["line"].strip(), runtime, symbolizer, nm, headers)


def _objective_c_headers(folders: list[Path]) -> Path | None:
    """Return the folder of GCC's `objc/objc.h`, which lies beside GCC's libraries; macOS has its own elsewhere."""
    if sys.platform == "darwin":
        return None
    return next((one / "include" for one in folders if (one / "include" / "objc" / "objc.h").is_file()), None)


def _missing_libraries(folders: list[Path], headers: Path | None) -> list[str]:
    needs = (
        ("Objective-C headers (libobjc-12-dev)", headers is not None),
        ("libobjc", _has_library(folders, "libobjc")),
        ("libBlocksRuntime (libblocksruntime-dev)", _has_library(folders, "libBlocksRuntime")),
    )
    return [text for text, is_there in needs if not is_there]


def _runtime_library(resources: Path) -> Path | None:
    """Return the shared runtime below clang's resource folder; its name differs by system and by how clang was built."""
    if sys.platform == "darwin":
        names = ["darwin/libclang_rt.tsan_osx_dynamic.dylib"]
    else:
        machine = platform.machine()
        names = [f"linux/libclang_rt.tsan-{machine}.so", f"{machine}-*/libclang_rt.tsan.so"]
    return next((found for name in names for found in sorted((resources / "lib").glob(name))), None)


def _tool(name: str, folders: list[Path], major: str = "") -> Path | None:
    """Return a program: beside the compiler, else on PATH with the compiler's version, else on PATH."""
    for folder in folders:
        if os.access(folder / name, os.X_OK):
            return folder / name
    found = (shutil.which(f"{name}-{major}") if major else None) or shutil.which(name)
    return Path(found) if found else None


def _has_library(folders: list[Path], name: str) -> bool:
    return any((folder / f"{name}{suffix}").is_file() for folder in folders for suffix in (".so", ".a"))


def _plain_environment() -> Mapping[str, str]:
    """Return our environment, with the compiler's texts in English."""
    return {**os.environ, "LC_ALL": "C"}
