"""Compile a tree's MPS core, unmodified, over the simulated Metal: flags, include paths and forced includes only.

Made are a library (the tree's backend and the simulated Metal), one more with the tree's functions for Python, and the
driver of the native cases. `stress/device/core/build.py` keeps them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.device import cache
from stress.device.clang import find_toolchain
from stress.device.core import codegen
from stress.device.core import hooks
from stress.device.core import objects
from stress.device.core import operators as operator_list
from stress.device.core import shaders
from stress.device.core import sources
from stress.device.core.compiler_output import CompileFailed
from stress.device.core.compiler_output import failed as compile_failed
from stress.device.core.shader_tokens import MetalSourceError
from stress.device.core.sources import CoreSource
from stress.device.core.steps import Progress
from stress.device.core.steps import Steps
from stress.device.core.units import ADAPTER
from stress.device.core.units import UnitCompiler
from stress.device.core.units import torch_key
from stress.device.torch_installation import TorchInstallation

LIBRARY = "libmps_core.so"
PYTHON_MODULE = "libmps_core_python.so"
DRIVER = "mps-core-driver"
LAYER = (
    "simulated_metal/*.*",
    "metal_shaders/*.cpp",
    "runtime/assertions.cpp",
    "runtime/order*.cpp",
    "adapter/*.cpp",
)
GLUE = ("core/*.*",)
OPERATORS = ("core/operators/*.*",)
NATIVE = ("native/*.*", "native/cases/*.*", "native/mps/*.*", "native/mps/cases/*.*")
UNINSTRUMENTED = ("native/uninstrumented/*.cpp",)
_OWN_RUNTIME = "adapter/runtime_version.cpp"
"""In every library and program: each has tables of its own to convert."""
_NO_DRIVER = "they know no operators: a build with --operators=cpu has them"
_WRAPPED = "-Wl,--wrap=__objc_exec_class,--wrap=_Block_object_assign,--wrap=_Block_object_dispose"


@dataclass(frozen=True)
class Built:
    """What was made, in the folder that was given."""

    library: Path
    python_module: Path | None
    driver: Path | None
    sources: tuple[str, ...]
    """The tree's sources that were compiled, as paths in it."""
    seconds: float
    units: Mapping[str, int]
    """"library", "python_module" and "driver" -> of how many instrumented units each is linked."""
    left_out: tuple[str, ...]
    """Units of the driver that are never instrumented."""
    driver_problem: str | None = None
    """Why there is no driver: a tree's interface may have gone on, and its core is of use without."""
    cpu_families: tuple[str, ...] = ()
    """Families of operators that stay with torch's CPU kernels, where the others are the tree's."""


def build(
    tree: Path,
    output: Path,
    *,
    sanitizer: str | None,
    torch: TorchInstallation,
    progress: Progress,
    operators: str = "cpu",
) -> Built:
    """Compile the tree's core into the existing folder `output`; raise `CompileFailed`, `BuildError` or `ToolchainError`.

    `sanitizer` is "thread" or None; `operators` is "tree" for the tree's own, or "cpu". `progress` is called from several
    threads, one at a time, with what was done and the share of the whole, from 0 to 1. The output of each source's compiler
    is `output/logs/NAME.txt`.
    """
    kept = objects.ObjectCache(cache.cache_folder() / objects.FOLDER)
    toolchain = find_toolchain("a core")
    generator = None
    if operators == "tree":
        codegen.require_torchgen()
        generator = codegen.Generator(tree.resolve(), torch_key(torch), cache.cache_folder())
    units = UnitCompiler(tree.resolve(), output.resolve(), sanitizer, torch, toolchain, kept, generator)
    return _Build(units).make(progress)


@dataclass(frozen=True)
class _Operators:
    """What was compiled of a tree's operators."""

    objects: tuple[Path, ...] = ()
    sources: tuple[CoreSource, ...] = ()
    cpu_families: tuple[str, ...] = ()
    """Families that stay with torch's CPU kernels."""


@dataclass(frozen=True)
class _Build:
    units: UnitCompiler

    def make(self, progress: Progress) -> Built:
        started = time.monotonic()
        sources.link_headers(self.units.tree, self.units.links)
        for folder in (self.units.objects, self.units.logs):
            folder.mkdir()
        adapter = self.units.objects / ADAPTER
        adapter.write_text(
            hooks.adapter(self.units.links, self.units.torch.include_folders[0]), encoding="utf-8"
        )
        core, python = sources.core_sources(self.units.tree), sources.python_sources(self.units.tree)
        own = sources.own_sources(self.units.harness, *LAYER)
        library = [*core, *own, CoreSource(adapter, ADAPTER)]
        module = [*python, *(sources.own_sources(self.units.harness, *GLUE) if python else [])]
        operators = (
            operator_list.operator_sources(self.units.tree)
            if self.units.generator is not None and python
            else []
        )
        if operators:
            module += sources.own_sources(self.units.harness, *OPERATORS)
        native = sources.own_sources(self.units.harness, *NATIVE) if not operators else []
        plain = sources.own_sources(self.units.harness, *UNINSTRUMENTED) if not operators else []
        steps = Steps(
            len({*library, *module, *native, *plain, *operators}) + 4 + len(operators[:1]), progress
        )
        uninstrumented = set(plain)
        objects = self.units.compile_all([*library, *module], uninstrumented, steps)
        compiled = self._operators(operators, [objects[one] for one in library], steps)
        driver, driver_problem = self._driver([*native, *plain], uninstrumented, steps)
        runtime = objects[next(one for one in own if one.name == _OWN_RUNTIME)]
        self._link_library([objects[one] for one in library])
        steps.done(LIBRARY)
        if module:
            self._link_module([runtime, *(objects[one] for one in module), *compiled.objects])
        steps.done(PYTHON_MODULE)
        if driver:
            self._link_driver([runtime, *driver])
        steps.done(DRIVER)
        self._bundle_shaders()
        steps.done(shaders.FOLDER)
        units = {
            "library": len(library),
            "python_module": 1 + len(module) + len(compiled.objects),
            "driver": 1 + len(native),
        }
        self.units.kept.remove_unused()
        return Built(
            self.units.output / LIBRARY,
            self.units.output / PYTHON_MODULE if module else None,
            self.units.output / DRIVER if driver else None,
            tuple(sorted(one.name for one in [*core, *python, *compiled.sources])),
            time.monotonic() - started,
            units,
            tuple(one.name for one in plain),
            driver_problem,
            compiled.cpu_families,
        )

    def _operators(self, units: Sequence[CoreSource], core: Sequence[Path], steps: Steps) -> _Operators:
        """Compile the tree's operators and their registrations; a file that does not compile is left out, and named."""
        if not units or self.units.generator is None:
            return _Operators()
        failed: list[CoreSource] = []
        compiled = self.units.compile_all(units, set(), steps, failed)
        parts = list(compiled.values())
        libraries = [self.units.torch.library_folder / name for name in ("libtorch_cpu.so", "libc10.so")]
        defined = operator_list.defined_functions(self.units.toolchain.nm, [*parts, *core], libraries)
        functions = operator_list.left_out_functions(self.units.generator.kernels(), defined)
        registrations = CoreSource(self.units.generator.registrations(functions), codegen.REGISTRATIONS)
        parts += self.units.compile_all([registrations], set(), steps).values()
        families = operator_list.left_out_families(self.units.tree, failed)
        return _Operators(tuple(parts), tuple(compiled), families)

    def _driver(
        self, units: Sequence[CoreSource], uninstrumented: set[CoreSource], steps: Steps
    ) -> tuple[list[Path], str | None]:
        """Return the driver's object files, or none and why one does not compile."""
        if not units:
            return [], _NO_DRIVER
        try:
            return list(self.units.compile_all(units, uninstrumented, steps).values()), None
        except CompileFailed as error:
            return [], str(error)

    def _bundle_shaders(self) -> None:
        units = self.units
        try:
            shaders.bundle(units.tree, units.output, units.toolchain, units.kept)
        except MetalSourceError as error:
            raise compile_failed(error.source, str(error), str(error)) from error

    def _link_library(self, objects: Sequence[Path]) -> None:
        exports = self.units.harness / "adapter" / "exports.map"
        self._link(
            LIBRARY,
            ["-shared", *map(str, objects), "-Wl,-Bsymbolic-functions", f"-Wl,--version-script={exports}"],
            ["-ltorch_cpu", "-lc10"],
        )

    def _link_module(self, objects: Sequence[Path]) -> None:
        self._link(
            PYTHON_MODULE,
            [
                "-shared",
                *map(str, objects),
                "-Wl,-Bsymbolic-functions",
                f"-L{self.units.output}",
                "-lmps_core",
                "-Wl,-rpath,$ORIGIN",
            ],
            ["-ltorch_python", "-ltorch", "-ltorch_cpu", "-lc10"],
        )

    def _link_driver(self, objects: Sequence[Path]) -> None:
        # The core before libtorch, which has functions of the same names that only raise an error.
        self._link(
            DRIVER,
            [
                *map(str, objects),
                f"-L{self.units.output}",
                "-lmps_core",
                "-Wl,-rpath,$ORIGIN",
                "-Wl,--no-as-needed",
            ],
            ["-ltorch_cpu", "-lc10", "-ldl"],
        )

    def _link(self, name: str, first: Sequence[str], libraries: Sequence[str]) -> None:
        folder = self.units.torch.library_folder
        self.units.run(
            name,
            [
                *self.units.sanitizing,
                *first,
                "-o",
                str(self.units.output / name),
                "-pthread",
                _WRAPPED,
                f"-L{folder}",
                f"-Wl,-rpath,{folder}",
                *libraries,
                "-lobjc",
                "-lBlocksRuntime",
                # Python's and the sanitizer's functions are the process's.
                *([] if self.units.sanitizer or name == PYTHON_MODULE else ["-Wl,-z,defs"]),
            ],
        )
