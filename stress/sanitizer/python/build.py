"""The simulated device built under ThreadSanitizer, with the library that is preloaded beside the runtime."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache as cached
from pathlib import Path

from stress.device import cache
from stress.device.clang import Toolchain
from stress.device.clang import find_toolchain
from stress.device.sim.build import LIBRARY
from stress.device.sim.build import Say
from stress.device.sim.build import SimBuild
from stress.device.sim.build import SimBuilder
from stress.device.sim.toolchain import Compiler
from stress.device.torch_installation import find_torch
from stress.model.errors import BuildError
from stress.model.shipped import shipped
from stress.sanitizer.instrumentation import CountError
from stress.sanitizer.instrumentation import marks_of

PRELOADED = "libmps_stress_in_flight.so"
_FOLDER = "preload"
_FLAGS = ("-std=c++20", "-O1", "-gline-tables-only", "-fPIC", "-pthread", "-fno-omit-frame-pointer")
_TSAN = ("-fsanitize=thread", "-shared-libsan")
# No builtins: inside the runtime's callback a loop must not become a call that the runtime intercepts. No debug
# information: a report is named after the innermost frame that has some, and this library's are above it.
_PRELOADED_FLAGS = (
    *("-std=c++20", "-O1", "-g0", "-fPIC", "-fno-builtin", "-fno-exceptions", "-fno-rtti"),
    *("-fno-threadsafe-statics", "-nostdlib++", "-shared"),
)


@dataclass(frozen=True)
class TsanBuild(SimBuild):
    """An instrumented library."""

    units: int = 0
    """How many translation units it has."""
    instrumented: int = 0
    """How many of them the library's symbols show as instrumented."""

    @classmethod
    def read(cls, library: Path) -> TsanBuild:
        """Return the build whose library this is; raise `OSError` where it is gone."""
        manifest = json.loads(library.with_name(cache.MANIFEST).read_text(encoding="utf-8"))
        return cls(library, manifest["sha256"], manifest["key"], manifest["units"], manifest["instrumented"])

    @property
    def preloaded(self) -> Path:
        """Return the library that has to be preloaded, before the runtime."""
        return self.library.with_name(PRELOADED)

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
        own = sorted((self.sources / _FOLDER).glob("*"))
        return [
            *super()._source_hashes(),
            *(f"{path.relative_to(self.sources)} {cache.file_hash(path)}" for path in own),
            " ".join(_PRELOADED_FLAGS),
        ]

    def _make(self, work: Path, say: Say) -> dict[str, object]:
        facts = super()._make(work, say)
        sources = [str(path) for path in sorted((self.sources / _FOLDER).glob("*.cpp"))]
        clangxx = self.compiler.command[0]
        self._run([clangxx, *_PRELOADED_FLAGS, *sources, "-o", str(work / PRELOADED)])
        try:
            marks = marks_of(work / LIBRARY, the_toolchain())
        except CountError as error:
            raise BuildError(f"what is instrumented cannot be counted: {error}") from error
        return {**facts, "units": len(self.groups), "instrumented": marks.constructors}

    def ensure(self, say: Say, *, again: bool = False) -> TsanBuild:
        return TsanBuild.read(super().ensure(say, again=again).library)


@cached
def the_toolchain() -> Toolchain:
    """Return the toolchain of this process, looked for once; raise `ToolchainError`."""
    return find_toolchain()
