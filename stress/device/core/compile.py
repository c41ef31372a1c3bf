"""Compile a tree's MPS core, unmodified, over the simulated Metal: flags, include paths and forced includes only.

Made are a library (the tree's backend and the simulated Metal), one more with the tree's functions for Python, and the
driver of the native cases. `stress/device/core/build.py` keeps them.
"""

from __future__ import annotations

import re
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from dataclasses import field
from functools import cached_property
from os import cpu_count
from os import environ
from pathlib import Path

from stress.device import cache
from stress.device.clang import Toolchain
from stress.device.clang import find_toolchain
from stress.device.core import hooks
from stress.device.core import objects
from stress.device.core import shaders
from stress.device.core import sources
from stress.device.core.shader_tokens import MetalSourceError
from stress.device.core.sources import CoreSource
from stress.device.torch_installation import TorchInstallation
from stress.model.shipped import shipped

LIBRARY = "libmps_core.so"
PYTHON_MODULE = "libmps_core_python.so"
DRIVER = "mps-core-driver"
LAYER = ("simulated_metal/*.*", "metal_shaders/*.cpp", "runtime/assertions.cpp", "adapter/*.cpp")
GLUE = ("core/*.*",)
NATIVE = ("native/*.*", "native/cases/*.*", "native/mps/*.*", "native/mps/cases/*.*")
UNINSTRUMENTED = ("native/uninstrumented/*.cpp",)
_ADAPTER = "hooks_adapter.cpp"
_OF_LAYER = ("simulated_metal/", "metal_shaders/", "adapter/", "runtime/")
_LONGEST = "core/torch_glue.cpp"
"""It includes other sources. No other unit that needs no precompiled headers takes as long as these."""
_OWN_RUNTIME = "adapter/runtime_version.cpp"
"""In every library and program: each has tables of its own to convert."""
_FLAGS = (
    "-std=c++20",
    "-O1",
    "-g1",
    "-fPIC",
    "-pthread",
    "-fblocks",
    "-fno-omit-frame-pointer",
    "-Wno-everything",
)
_TORCH = (
    "-DUSE_MPS",
    "-DFMT_HEADER_ONLY=1",
    "-DFMT_USE_CONSTEVAL=0",  # Texts of formats that are not known when compiling are an error otherwise.
    "-fclang-abi-compat=17",  # Else clang mangles some constrained templates of torch's unlike g++, which made libtorch.
)
_OBJECTIVE_C = (
    "-x",
    "objective-c++",
    "-fobjc-exceptions",
    "-fno-objc-arc",
    "-fconstant-string-class=NSConstantString",
)
_WRAPPED = "-Wl,--wrap=__objc_exec_class,--wrap=_Block_object_assign,--wrap=_Block_object_dispose"
_APPLE = re.compile(
    r"[_k]*(?:MTL|MPS|NS|CF|CG|IO|OS_|os_|dispatch_|DISPATCH_|mach_|vm_|_dyld|pthread_|clock_|objc_|OBJC_)\w*"
)
_MISSING = re.compile(
    r"(?:undeclared identifier|unknown type name|declaration for|undefined reference to|undefined symbol:) "
    r"?[`']?(?P<name>\w+)|method for selector '(?P<selector>[\w:]+)'|'(?P<header>[\w/.-]+\.h)' file not found"
)
_INCLUDED_SOURCE = re.compile(r'^#include "(torch/\w+\.cpp)"$', re.MULTILINE)
_ERROR = re.compile(r"^(?P<line>.*?(?:error: |undefined reference to |undefined symbol: ).*)$", re.MULTILINE)

Progress = Callable[[str, float], None]


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


class CompileFailed(Exception):
    """A source does not compile, or what was compiled cannot be linked; nothing usable was made."""

    def __init__(self, source: str, log: str, first_error_line: str, missing_name: str | None) -> None:
        super().__init__(f"{source}: {first_error_line}")
        self.source = source
        self.log = log
        """The whole output of the compiler, after its command."""
        self.first_error_line = first_error_line
        self.missing_name = missing_name
        """A name or header of Apple's that the simulated Metal lacks, where that is the reason."""


def build(
    tree: Path,
    output: Path,
    *,
    sanitizer: str | None,
    torch: TorchInstallation,
    progress: Progress,
) -> Built:
    """Compile the tree's core into the existing folder `output`; raise `CompileFailed` or `ToolchainError`.

    `sanitizer` is "thread" or None. `progress` is called from several threads, one at a time, with what was done and the
    share of the whole, from 0 to 1. The output of each source's compiler is `output/logs/NAME.txt`.
    """
    kept = objects.ObjectCache(cache.cache_folder() / objects.FOLDER)
    toolchain = find_toolchain("a core")
    return _Build(tree.resolve(), output.resolve(), sanitizer, torch, toolchain, kept).make(progress)


@dataclass(frozen=True)
class _Build:
    tree: Path
    output: Path
    sanitizer: str | None
    torch: TorchInstallation
    toolchain: Toolchain
    kept: objects.ObjectCache
    precompiling: threading.Lock = field(default_factory=threading.Lock)

    def make(self, progress: Progress) -> Built:
        started = time.monotonic()
        sources.link_headers(self.tree, self._links)
        for folder in (self._objects, self._logs):
            folder.mkdir()
        adapter = self._objects / _ADAPTER
        adapter.write_text(hooks.adapter(self._links, self.torch.include_folders[0]), encoding="utf-8")
        core, python = sources.core_sources(self.tree), sources.python_sources(self.tree)
        own = sources.own_sources(self._harness, *LAYER)
        library = [*core, *own, CoreSource(adapter, _ADAPTER)]
        module = [*python, *(sources.own_sources(self._harness, *GLUE) if python else [])]
        native = sources.own_sources(self._harness, *NATIVE)
        plain = sources.own_sources(self._harness, *UNINSTRUMENTED)
        steps = _Steps(len({*library, *module, *native, *plain}) + 4, progress)
        uninstrumented = set(plain)
        objects = self._compile_all([*library, *module], uninstrumented, steps)
        driver, driver_problem = self._driver([*native, *plain], uninstrumented, steps)
        runtime = objects[next(one for one in own if one.name == _OWN_RUNTIME)]
        self._link_library([objects[one] for one in library])
        steps.done(LIBRARY)
        if module:
            self._link_module([runtime, *(objects[one] for one in module)])
        steps.done(PYTHON_MODULE)
        if driver:
            self._link_driver([runtime, *driver])
        steps.done(DRIVER)
        self._bundle_shaders()
        steps.done(shaders.FOLDER)
        units = {"library": len(library), "python_module": 1 + len(module), "driver": 1 + len(native)}
        self.kept.remove_unused()
        return Built(
            self.output / LIBRARY,
            self.output / PYTHON_MODULE if module else None,
            self.output / DRIVER if driver else None,
            tuple(sorted(one.name for one in [*core, *python])),
            time.monotonic() - started,
            units,
            tuple(one.name for one in plain),
            driver_problem,
        )

    def _driver(
        self, units: Sequence[CoreSource], uninstrumented: set[CoreSource], steps: _Steps
    ) -> tuple[list[Path], str | None]:
        """Return the driver's object files, or none and why one does not compile."""
        try:
            return list(self._compile_all(units, uninstrumented, steps).values()), None
        except CompileFailed as error:
            return [], str(error)

    def _bundle_shaders(self) -> None:
        try:
            shaders.bundle(self.tree, self.output, self.toolchain, self.kept)
        except MetalSourceError as error:
            raise _failed(error.source, str(error), str(error)) from error

    @property
    def _harness(self) -> Path:
        return shipped("harness")

    @property
    def _links(self) -> Path:
        return self.output / "headers"

    @property
    def _objects(self) -> Path:
        return self.output / "objects"

    @property
    def _logs(self) -> Path:
        return self.output / "logs"

    @cached_property
    def _sanitizing(self) -> list[str]:
        return [f"-fsanitize={self.sanitizer}"] if self.sanitizer else []

    @cached_property
    def _common(self) -> list[str]:
        """Return the flags of every unit that includes the tree's or torch's headers."""
        folders = [
            self._links,
            self._harness,
            self._harness / "adapter",
            self._harness / "simulated_metal" / "include",
            *self.torch.include_folders,
            Path(sysconfig.get_paths()["include"]),
        ]
        return [
            *_FLAGS,
            *_TORCH,
            f"-D_GLIBCXX_USE_CXX11_ABI={int(self.torch.cxx11_abi)}",
            *(argument for folder in folders for argument in ("-I", str(folder))),
            "-idirafter",
            str(self.toolchain.objective_c_headers),
            # Reports name files by their path in the tree: not the links to them, and the same for every checkout of it.
            *(
                f"-ffile-prefix-map={self._links / included}={name}"
                for included, name in sources.HEADERS_OF_TREE.items()
            ),
            f"-ffile-prefix-map={self.tree}/=",
        ]

    def _arguments(self, source: CoreSource, *, instrumented: bool) -> list[str]:
        sanitizing = self._sanitizing if instrumented else []
        if source.name == _ADAPTER:
            return [*self._common, *sanitizing]  # Sees both interfaces, and names their headers by path.
        if source.name.startswith(_OF_LAYER):
            runtime = [*_OBJECTIVE_C, "-fobjc-runtime=gcc"] if source.is_objective_c else []
            return [*self._common, *sanitizing, *runtime]
        if not source.is_objective_c:
            return [*self._common, *hooks.RENAMING_FLAGS, *sanitizing]
        if not source.is_of_tree:
            included = self._shared_headers if source.uses_torch else ["-include", "simulated/macos.h"]
            return [*self._of_tree, *sanitizing, *included]
        forced = [argument for header in source.forced for argument in ("-include", header)]
        return [*self._of_tree, *sanitizing, *self._shared_headers, *forced]

    @property
    def _shared_headers(self) -> list[str]:
        return ["-include-pch", str(self._precompiled)]

    @cached_property
    def _of_tree(self) -> list[str]:
        return [*self._common, *hooks.RENAMING_FLAGS, *_OBJECTIVE_C, "-fobjc-runtime=objfw"]

    @cached_property
    def _precompiled(self) -> Path:
        return self._objects / "precompiled.pch"

    def _require_precompiled(self) -> None:
        """Precompile the headers that sources in Objective-C++ share, when the first of them is to be compiled."""
        with self.precompiling:
            if self._precompiled.exists():
                return
            header = self._harness / "adapter" / "precompiled.h"
            flags = ["objective-c++-header" if one == "objective-c++" else one for one in self._of_tree]
            part = self._precompiled.with_suffix(".part")
            self._run("precompiled.h", [*flags, *self._sanitizing, str(header), "-o", str(part)])
            part.rename(self._precompiled)

    @cached_property
    def _headers(self) -> dict[str, str]:
        """Return the hashes of the headers that a unit may include, by its kind; "tree" beside one of the others."""
        macos = (self._harness / "simulated_metal" / "include", self._harness / "adapter")
        layer = tuple(
            self._harness / one for one in ("simulated_metal", "metal_shaders", "adapter", "runtime")
        )
        links = [one for name in sources.HEADERS_OF_TREE if (one := self._links / name).exists()]
        return {
            "macos": objects.headers_digest(*macos),
            "layer": objects.headers_digest(*layer),
            "native": objects.headers_digest(*macos, self._harness / "native", self._harness / "runtime"),
            "glue": objects.headers_digest(self._harness),
            "tree": objects.headers_digest(*links),
        }

    def _key(self, source: CoreSource, arguments: Sequence[str]) -> str:
        """Return what stands for everything that goes into an object file."""
        text = source.path.read_text(encoding="utf-8", errors="replace")
        included = [
            (self._harness / one).read_text(encoding="utf-8") for one in _INCLUDED_SOURCE.findall(text)
        ]
        kind = _kind(source)
        knows_tree = kind in ("macos", "glue") or source.name.startswith("native/mps/")
        return cache.digest(
            [
                self.toolchain.version,
                self.torch.version,
                self.torch.git,
                str(self.torch.library_bytes),
                self._headers[kind],
                *([self._headers["tree"]] if knows_tree else []),
                *(one for one in arguments if str(self.output) not in one and str(self.tree) not in one),
                source.name,
                text.replace(str(self.output), ""),
                *included,
            ]
        )

    def _compile_all(
        self, units: Sequence[CoreSource], uninstrumented: set[CoreSource], steps: _Steps
    ) -> dict[CoreSource, Path]:
        """Compile, what takes longest first, as many at a time as there are cores."""

        def compile_one(source: CoreSource) -> tuple[CoreSource, Path]:
            target = self._objects / f"{source.name.replace('/', '-')}.o"
            arguments = self._arguments(source, instrumented=source not in uninstrumented)
            key = self._key(source, arguments)
            if not self.kept.take(key, target):
                if str(self._precompiled) in arguments:
                    self._require_precompiled()
                self._run(source.name, [*arguments, "-c", str(source.path), "-o", str(target)])
                self.kept.keep(key, target)
            steps.done(source.name)
            return source, target

        ordered = sorted(
            units, key=lambda one: (one.name != _LONGEST, not one.is_of_tree, -one.path.stat().st_size)
        )
        pool = ThreadPoolExecutor(cpu_count() or 1)
        try:
            return dict(pool.map(compile_one, ordered))
        finally:
            pool.shutdown(cancel_futures=True)

    def _link_library(self, objects: Sequence[Path]) -> None:
        exports = self._harness / "adapter" / "exports.map"
        self._link(
            LIBRARY,
            ["-shared", *map(str, objects), "-Wl,-Bsymbolic-functions", f"-Wl,--version-script={exports}"],
            ["-ltorch_cpu", "-lc10"],
        )

    def _link_module(self, objects: Sequence[Path]) -> None:
        self._link(
            PYTHON_MODULE,
            ["-shared", *map(str, objects), f"-L{self.output}", "-lmps_core", "-Wl,-rpath,$ORIGIN"],
            ["-ltorch_python", "-ltorch", "-ltorch_cpu", "-lc10"],
        )

    def _link_driver(self, objects: Sequence[Path]) -> None:
        # The core before libtorch, which has functions of the same names that only raise an error.
        self._link(
            DRIVER,
            [
                *map(str, objects),
                f"-L{self.output}",
                "-lmps_core",
                "-Wl,-rpath,$ORIGIN",
                "-Wl,--no-as-needed",
            ],
            ["-ltorch_cpu", "-lc10", "-ldl"],
        )

    def _link(self, name: str, first: Sequence[str], libraries: Sequence[str]) -> None:
        folder = self.torch.library_folder
        self._run(
            name,
            [
                *self._sanitizing,
                *first,
                "-o",
                str(self.output / name),
                "-pthread",
                _WRAPPED,
                f"-L{folder}",
                f"-Wl,-rpath,{folder}",
                *libraries,
                "-lobjc",
                "-lBlocksRuntime",
                # Python's and the sanitizer's functions are the process's.
                *([] if self.sanitizer or name == PYTHON_MODULE else ["-Wl,-z,defs"]),
            ],
        )

    def _run(self, name: str, arguments: Sequence[str]) -> None:
        command = [str(self.toolchain.clangxx), *arguments]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            env={**environ, "LC_ALL": "C"},
        )
        text = done.stdout.decode(errors="replace")
        log = f"{' '.join(command)}\n\n{text}"
        (self._logs / f"{name.replace('/', '-')}.txt").write_text(log, encoding="utf-8")
        if done.returncode:
            raise _failed(name, log, text)


def _kind(source: CoreSource) -> str:
    if source.is_of_tree:
        return "macos"
    if source.name.startswith(_OF_LAYER):
        return "layer"
    return "native" if source.name.startswith("native/") else "glue"


def _failed(name: str, log: str, text: str) -> CompileFailed:
    error = _ERROR.search(text)
    line = error["line"].strip() if error is not None else (text.strip().splitlines() or ["no output"])[-1]
    return CompileFailed(name, log, line, _missing(line))


def _missing(line: str) -> str | None:
    """Return the name of Apple's that an error is about; None for any other error."""
    found = _MISSING.search(line)
    if found is None:
        return None
    if found["selector"] or found["header"]:
        return found["selector"] or found["header"]
    return found["name"] if _APPLE.fullmatch(found["name"]) else None


class _Steps:
    """Counts what is done, and reports it, one report at a time."""

    def __init__(self, count: int, progress: Progress) -> None:
        self._count = count
        self._progress = progress
        self._done = 0
        self._lock = threading.Lock()

    def done(self, what: str) -> None:
        with self._lock:
            self._done += 1
            self._progress(what, min(self._done / self._count, 1.0))
