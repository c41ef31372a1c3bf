"""Compile a tree's MPS core, unmodified, over the simulated Metal: flags, include paths and forced includes only.

Made are a library (the tree's backend and the simulated Metal), one more with the tree's functions for Python, and the
driver of the native cases. `stress/device/core/build.py` keeps them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from functools import partial
from pathlib import Path

from stress.device import cache
from stress.device.clang import find_toolchain
from stress.device.core import codegen
from stress.device.core import hooks
from stress.device.core import objects
from stress.device.core import operators as operator_list
from stress.device.core import precompiled
from stress.device.core import shaders
from stress.device.core import sources
from stress.device.core.compiler_output import CompileFailed
from stress.device.core.compiler_output import failed as compile_failed
from stress.device.core.jobs import Jobs
from stress.device.core.precompiled import TREE_ROOT
from stress.device.core.precompiled import Precompiled
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
_LINKED_AND_SHADERS = (LIBRARY, PYTHON_MODULE, DRIVER, shaders.FOLDER)
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
    not_compiled: Mapping[str, str] = field(default_factory=dict)
    """Sources of operators that do not compile -> the first error of each."""


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
    return _Build(units, progress).make()


@dataclass
class _Build:
    """One build, as jobs: a unit begins when its precompiled header is there, what is linked when its units are."""

    units: UnitCompiler
    report: Progress
    jobs: Jobs = field(default_factory=Jobs)
    failed: dict[CoreSource, str] = field(default_factory=dict)
    """Sources of operators that do not compile, and the first error of each."""
    driver_problem: str | None = None

    def make(self) -> Built:
        started = time.monotonic()
        sources.link_headers(self.units.tree, self.units.links)
        for folder in (self.units.objects, self.units.logs):
            folder.mkdir()
        adapter = self.units.objects / ADAPTER
        text = hooks.adapter(self.units.links, self.units.torch.include_folders[0])
        adapter.write_text(text.replace(str(self.units.links), str(TREE_ROOT)), encoding="utf-8")
        harness, own = self.units.harness, sources.own_sources
        core, python = sources.core_sources(self.units.tree), sources.python_sources(self.units.tree)
        layer = own(harness, *LAYER)
        library = [*core, *layer, CoreSource(adapter, ADAPTER)]
        module = [*python, *(own(harness, *GLUE) if python else [])]
        operators = operator_list.operator_sources(self.units.tree) if self.units.generator and python else []
        if operators:
            module += own(harness, *OPERATORS)
        native = own(harness, *NATIVE) if not operators else []
        plain = own(harness, *UNINSTRUMENTED) if not operators else []
        self.driver_problem = None if native else _NO_DRIVER
        count = len({*library, *module, *native, *plain, *operators})
        steps = Steps(count + len(_LINKED_AND_SHADERS) + len(operators[:1]), self.report)

        of_core = self._add_units(core, steps, rank=1)
        of_library = [*of_core, *self._add_units(library[len(core) :], steps, rank=3)]
        self.jobs.add(LIBRARY, lambda: self._link_library(library, steps), after=of_library)
        runtime = next(one for one in layer if one.name == _OWN_RUNTIME)
        if module:
            after = [LIBRARY, *self._add_units(module, steps, rank=2)]
            after += self._add_operators(operators, core, of_core, steps)
            linked = [runtime, *module]
            self.jobs.add(PYTHON_MODULE, lambda: self._link_module(linked, operators, steps), after=after)
        if native:
            after = [LIBRARY, *self._add_units(native, steps, rank=4, of_driver=True)]
            after += self._add_units(plain, steps, rank=4, of_driver=True, instrumented=False)
            linked_driver = [runtime, *native, *plain]
            self.jobs.add(DRIVER, lambda: self._link_driver(linked_driver, steps), after=after)
        self._add_shaders(steps)
        self.jobs.run()
        self.units.kept.remove_unused()
        compiled = [one for one in operators if one not in self.failed]
        return Built(
            self.units.output / LIBRARY,
            self.units.output / PYTHON_MODULE if module else None,
            self.units.output / DRIVER if self.driver_problem is None else None,
            tuple(sorted(one.name for one in [*core, *python, *compiled])),
            time.monotonic() - started,
            {
                "library": len(library),
                "python_module": 1 + len(module) + len(compiled) + len(operators[:1]),
                "driver": 1 + len(native),
            },
            tuple(one.name for one in plain),
            self.driver_problem,
            operator_list.left_out_families(self.units.tree, self.failed) if operators else (),
            {one.name: error for one, error in sorted(self.failed.items(), key=lambda item: item[0].name)},
        )

    def _add_units(
        self,
        units: Sequence[CoreSource],
        steps: Steps,
        *,
        rank: int,
        of_driver: bool = False,
        instrumented: bool = True,
    ) -> list[str]:
        """Add what compiles each unit that is not in the cache, the longest first, and return these jobs' names."""
        added = []
        for source in units:
            if self.units.find(source, instrumented=instrumented):
                steps.done(source.name)
                continue
            work = partial(self._compile, source, steps, instrumented=instrumented)
            header = self.units.precompiled_for(source, instrumented=instrumented)
            added.append(
                self.jobs.add(
                    source.name,
                    partial(self._compile_for_driver, work) if of_driver else work,
                    after=[self._add_precompiled(header)] if header is not None else [],
                    priority=(rank, -source.path.stat().st_size),
                )
            )
        return added

    def _add_precompiled(self, header: Precompiled) -> str:
        if header.name not in self.jobs:
            place = precompiled.ALL.index(header)
            self.jobs.add(header.name, lambda: self.units.require_precompiled(header), priority=(0, place))
        return header.name

    def _compile(self, source: CoreSource, steps: Steps, *, instrumented: bool) -> None:
        self.units.compile(source, instrumented=instrumented)
        steps.done(source.name)

    def _compile_for_driver(self, work: Callable[[], None]) -> None:
        if self.driver_problem is None:
            try:
                work()
            except CompileFailed as error:
                self.driver_problem = str(error)

    def _add_shaders(self, steps: Steps) -> None:
        units = self.units
        libraries = shaders.bundled(units.tree, units.output, units.toolchain, units.kept)
        for name, work in libraries.items():
            self.jobs.add(name, partial(self._compile_shader, work), priority=(5,))

        def finish() -> None:
            shaders.link_runtime(units.output, units.toolchain)
            steps.done(shaders.FOLDER)

        self.jobs.add(shaders.FOLDER, finish, after=[LIBRARY, *libraries])

    def _compile_shader(self, work: Callable[[], None]) -> None:
        try:
            work()
        except MetalSourceError as error:
            raise compile_failed(error.source, str(error), str(error)) from error

    def _add_operators(
        self,
        operators: Sequence[CoreSource],
        core: Sequence[CoreSource],
        of_core: Sequence[str],
        steps: Steps,
    ) -> list[str]:
        """Add the tree's operators and their registrations, and return these jobs' names."""
        if not operators:
            return []
        generated = self.jobs.add("torchgen", self.units.generate, priority=(0, 0.5))
        after = [one for one in (generated, precompiled.OF_TREE.name) if one in self.jobs]
        names = [
            self.jobs.add(
                source.name,
                partial(self._try_operator, source, steps),
                after=after,
                priority=(1, -source.path.stat().st_size),
            )
            for source in operators
        ]
        register = self.jobs.add(
            codegen.REGISTRATIONS,
            lambda: self._register(operators, core, steps),
            after=[*names, *of_core],
            priority=(1,),
        )
        return [register]

    def _try_operator(self, source: CoreSource, steps: Steps) -> None:
        """Compile a source of the tree's operators; one that does not compile is left out, and named."""
        error = self.units.try_operator(source)
        if error is None:
            steps.done(source.name)
            return
        self.failed[source] = error.first_error_line
        steps.done(f"{source.name} does not compile: {error.first_error_line}")

    def _register(self, operators: Sequence[CoreSource], core: Sequence[CoreSource], steps: Steps) -> None:
        """Compile what registers the operators that were compiled: known when all are."""
        generator = self.units.generator
        assert generator is not None
        parts = [self.units.target(one) for one in [*operators, *core] if one not in self.failed]
        libraries = [self.units.torch.library_folder / name for name in ("libtorch_cpu.so", "libc10.so")]
        defined = operator_list.defined_functions(self.units.toolchain.nm, parts, libraries)
        functions = operator_list.left_out_functions(generator.kernels(), defined)
        source = CoreSource(generator.registrations(functions), codegen.REGISTRATIONS)
        if not self.units.find(source, instrumented=True):
            self.units.compile(source, instrumented=True)
        steps.done(source.name)

    def _objects(self, units: Sequence[CoreSource]) -> list[str]:
        return [str(self.units.target(one)) for one in units if one not in self.failed]

    def _link_library(self, units: Sequence[CoreSource], steps: Steps) -> None:
        exports = self.units.harness / "adapter" / "exports.map"
        options = ["-shared", "-Wl,-Bsymbolic-functions", f"-Wl,--version-script={exports}"]
        self._link(LIBRARY, [*options, *self._objects(units)], ["-ltorch_cpu", "-lc10"])
        steps.done(LIBRARY)

    def _link_module(
        self, units: Sequence[CoreSource], operators: Sequence[CoreSource], steps: Steps
    ) -> None:
        objects = self._objects([*units, *operators])
        if operators:
            objects.append(str(self.units.objects / f"{codegen.REGISTRATIONS}.o"))
        options = ["-shared", *objects, "-Wl,-Bsymbolic-functions"]
        self._link(
            PYTHON_MODULE,
            [*options, f"-L{self.units.output}", "-lmps_core", "-Wl,-rpath,$ORIGIN"],
            ["-ltorch_python", "-ltorch", "-ltorch_cpu", "-lc10"],
        )
        steps.done(PYTHON_MODULE)

    def _link_driver(self, units: Sequence[CoreSource], steps: Steps) -> None:
        if self.driver_problem is None:
            # The core before libtorch, which has functions of the same names that only raise an error.
            options = [f"-L{self.units.output}", "-lmps_core", "-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed"]
            self._link(DRIVER, [*self._objects(units), *options], ["-ltorch_cpu", "-lc10", "-ldl"])
        steps.done(DRIVER)

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
