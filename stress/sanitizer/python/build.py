"""Devices built under ThreadSanitizer, and the library that is preloaded beside the runtime."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache as cached
from pathlib import Path
from typing import Any

from stress.device import cache
from stress.device.clang import Toolchain
from stress.device.clang import find_toolchain
from stress.device.sim.build import LIBRARY
from stress.device.sim.build import Say
from stress.device.sim.build import SimBuilder
from stress.device.sim.toolchain import Compiler
from stress.device.torch_installation import find_torch
from stress.model.errors import BuildError
from stress.model.shipped import shipped
from stress.sanitizer.instrumentation import CountError
from stress.sanitizer.instrumentation import marks_of

PRELOADED = "libmps_stress_in_flight.so"
_FOLDER = "preload"
_OF_CORE = ("library", "python_module")
_FLAGS = ("-std=c++20", "-O1", "-gline-tables-only", "-fPIC", "-pthread", "-fno-omit-frame-pointer")
_TSAN = ("-fsanitize=thread", "-shared-libsan")
# No builtins: inside the runtime's callback a loop must not become a call that the runtime intercepts. No debug
# information: a report is named after the innermost frame that has some, and this library's are above it.
_PRELOADED_FLAGS = (
    *("-std=c++20", "-O1", "-g0", "-fPIC", "-fno-builtin", "-fno-exceptions", "-fno-rtti"),
    *("-fno-threadsafe-statics", "-nostdlib++", "-shared"),
)


@dataclass(frozen=True)
class TsanBuild:
    """What is instrumented of a device's libraries."""

    libraries: tuple[Path, ...]
    units: int
    """How many translation units they have."""
    instrumented: int
    """How many of them the libraries' symbols show as instrumented."""

    @classmethod
    def read(cls, library: Path) -> TsanBuild:
        """Return the build whose library this is, of the simulated device or of a tree's core.

        Raise `OSError` where it is gone, `CountError` where its symbols cannot be read.
        """
        manifest = json.loads(library.with_name(cache.MANIFEST).read_text(encoding="utf-8"))
        units: int | dict[str, int] = manifest["units"]
        if isinstance(units, int):
            return cls((library,), units, manifest["instrumented"])
        libraries = {name: library.with_name(manifest[name]) for name in _OF_CORE}
        marks = [marks_of(one, the_toolchain()).constructors for one in libraries.values()]
        return cls(tuple(libraries.values()), sum(units[name] for name in libraries), sum(marks))

    @property
    def units_text(self) -> str:
        return f"{self.instrumented} of {self.units} translation units instrumented"


@dataclass(frozen=True)
class TsanBuilder(SimBuilder):
    """Builds the device's sources with clang and ThreadSanitizer."""

    flags: tuple[str, ...] = _FLAGS
    about: str = "under ThreadSanitizer, about a minute, once"

    @classmethod
    def default(cls) -> TsanBuilder:
        """Return the builder for the installed torch; raise `BuildError` or `ToolchainError` without its needs."""
        toolchain = the_toolchain()
        compiler = Compiler((str(toolchain.clangxx), *_TSAN), toolchain.version)
        return cls(shipped("harness"), find_torch(), compiler, cache.cache_folder())

    def _source_hashes(self) -> list[str]:
        return [*super()._source_hashes(), *_preloaded_hashes(self.sources)]

    def _make(self, work: Path, say: Say) -> dict[str, object]:
        facts = super()._make(work, say)
        try:
            marks = marks_of(work / LIBRARY, the_toolchain())
        except CountError as error:
            raise BuildError(f"what is instrumented cannot be counted: {error}") from error
        return {**facts, "units": len(self.groups), "instrumented": marks.constructors}


def preloaded_library(say: Say) -> Path:
    """Return the library that has to be preloaded before the runtime, built now if need be; raise `BuildError`."""
    sources, toolchain = shipped("harness"), the_toolchain()
    name = cache.key([toolchain.version, *_PRELOADED_FLAGS, *_preloaded_hashes(sources)])
    folder = cache.cache_folder() / f"preloaded-{name}"

    def make(work: Path) -> dict[str, Any]:
        units = [str(path) for path in sorted((sources / _FOLDER).glob("*.cpp"))]
        command = [str(toolchain.clangxx), *_PRELOADED_FLAGS, *units, "-o", str(work / PRELOADED)]
        cache.run_compiler(command, folder.with_name(f"{folder.name}.log"), toolchain.version)
        return {}

    waiting = "another process is building what is preloaded for ThreadSanitizer: waiting for it"
    cache.ensure(folder, PRELOADED, make, waiting=lambda: say(waiting))
    return folder / PRELOADED


def _preloaded_hashes(sources: Path) -> list[str]:
    own = sorted((sources / _FOLDER).glob("*"))
    return [f"{path.relative_to(sources)} {cache.file_hash(path)}" for path in own]


@cached
def the_toolchain() -> Toolchain:
    """Return the toolchain of this process, looked for once; raise `ToolchainError`."""
    return find_toolchain()
