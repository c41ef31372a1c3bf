"""Build a recipe's program, with or without ThreadSanitizer, by calling the compiler, and keep it.

A build is found again by the hash of everything that goes into it: sources, headers, flags and compiler.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stress.device import cache
from stress.device.clang import Toolchain
from stress.model.errors import BuildError
from stress.sanitizer import instrumentation
from stress.sanitizer.instrumentation import Marks
from stress.sanitizer.native.recipe import Recipe
from stress.sanitizer.native.recipe import Unit

COMPILERS_AT_ONCE = 2
_FLAGS = ("-O1", "-g", "-fno-omit-frame-pointer", "-fblocks", "-pthread")
_TSAN = "-fsanitize=thread"
_OBJECTIVE_C_LINUX = ("-fobjc-exceptions",)
_OBJECTIVE_C_APPLE = ("-fno-objc-arc",)
_LINK_LINUX = ("-lobjc", "-lBlocksRuntime")
_LINK_APPLE = ("-lobjc",)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Program:
    """A built program, and what is instrumented in it."""

    path: Path
    name: str
    files: tuple[Path, ...]
    """Its sources and headers."""
    units: int
    """How many translation units should be instrumented."""
    missing: tuple[str, ...]
    """Those of them that are not, by their object files."""
    left_out: tuple[str, ...]
    """Units that are left uninstrumented on purpose."""
    constructors: int
    """How many `tsan.module_ctor` the linked program has, and the libraries that belong to it."""
    opted_out: tuple[str, ...]
    """Places in the sources that ask the compiler not to instrument them."""
    compiler: str
    sha256: str
    libraries: tuple[Path, ...] = ()
    """Libraries that belong to it: code under test, as the program itself."""


@dataclass(frozen=True)
class NativeBuilder:
    """Builds one recipe with one toolchain."""

    recipe: Recipe
    toolchain: Toolchain
    tsan: bool = True
    cache: Path | None = None

    @cached_property
    def folder(self) -> Path:
        """Return the folder of this build in the cache; its name is the key of everything that goes into it."""
        recipe = self.recipe
        sources = {one.source for one in recipe.units}
        parts = [
            self.toolchain.version,
            str(self.toolchain.clangxx),
            str(self.toolchain.runtime_library),
            *(f"{one.name} {one.instrumented} {self.compile_flags(one)}" for one in recipe.units),
            *recipe.link,
            *(f"{path} {cache.file_hash(path)}" for path in sorted({*sources, *recipe.headers})),
        ]
        digest = cache.key(parts)
        kind = "tsan" if self.tsan else "plain"
        return (self.cache or cache.cache_folder()) / f"{recipe.name}-{kind}-{digest}"

    def ensure(self, say: Say, *, again: bool = False) -> Program:
        """Return the program, built now if need be; raise `BuildError`."""
        name = self.recipe.name
        try:
            manifest = cache.ensure(
                self.folder,
                name,
                lambda work: self._make(work, say),
                waiting=lambda: say(f"another process is building {name}: waiting for it"),
                again=again,
            )
        except instrumentation.CountError as error:
            raise BuildError(f"{name}: what is instrumented cannot be counted: {error}") from error
        marks = {unit: Marks(*counts) for unit, counts in manifest["units"].items()}
        return Program(
            self.folder / name,
            name,
            self.recipe.files,
            len(marks),
            tuple(unit for unit, one in marks.items() if not (one.constructors and one.hooks)),
            (
                *(one.name for one in self.recipe.units if not one.instrumented),
                *(str(one.relative_to(self.recipe.root)) for one in self.recipe.not_under_test),
            ),
            manifest["constructors"],
            tuple(instrumentation.opted_out(self.recipe.under_test, self.recipe.root)),
            self.toolchain.version,
            manifest["sha256"],
        )

    def _make(self, work: Path, say: Say) -> dict[str, object]:
        recipe, kind = self.recipe, "under ThreadSanitizer" if self.tsan else "without ThreadSanitizer"
        say(f"{recipe.name}: building {len(recipe.units)} files {kind} ({self.toolchain.version})")
        with ThreadPoolExecutor(COMPILERS_AT_ONCE) as pool:
            objects = list(pool.map(lambda unit: self._compile(unit, work), recipe.units))
        self._run(self.link_command([str(path) for path, _ in objects], work / recipe.name))
        for path, _ in objects:
            path.unlink()
        return {
            "compiler": self.toolchain.version,
            "units": {
                unit.name: [marks.constructors, marks.hooks]
                for unit, (_, marks) in zip(recipe.units, objects, strict=True)
                if unit.instrumented
            },
            "constructors": instrumentation.marks_of(work / recipe.name, self.toolchain).constructors,
        }

    def _compile(self, unit: Unit, work: Path) -> tuple[Path, Marks]:
        target = work / f"{unit.name.replace('/', '-')}.o"
        self._run([*self._compiler, *self.compile_flags(unit), "-c", str(unit.source), "-o", str(target)])
        return target, instrumentation.marks_of(target, self.toolchain)

    def link_command(self, objects: Sequence[str], target: Path) -> list[str]:
        """Return the command that makes a program of object files.

        On a Mac `-fsanitize=thread` links the runtime's dylib, and names clang's folder for it with an rpath.
        """
        return [
            *self._compiler,
            *([_TSAN] if self.tsan else []),
            *objects,
            "-o",
            str(target),
            "-pthread",
            *self.recipe.link,
            *(_LINK_APPLE if self.toolchain.is_apple else _LINK_LINUX),
        ]

    @property
    def _compiler(self) -> list[str]:
        return [str(self.toolchain.clangxx)]

    def compile_flags(self, unit: Unit) -> list[str]:
        """Return the compiler's arguments for one unit, but for the files."""
        headers = self.toolchain.objective_c_headers
        return [
            *_FLAGS,
            *self.recipe.flags,
            *(argument for folder in self.recipe.includes for argument in ("-I", str(folder))),
            # Not -I: GCC's own headers beside them must not replace clang's.
            *(["-idirafter", str(headers)] if headers is not None else []),
            *((_OBJECTIVE_C_APPLE if headers is None else _OBJECTIVE_C_LINUX) if unit.is_objective_c else ()),
            *([_TSAN] if self.tsan and unit.instrumented else []),
        ]

    def _run(self, command: list[str]) -> None:
        log = self.folder.with_name(f"{self.folder.name}.log")
        cache.run_compiler(command, log, self.toolchain.version)
