"""Units of a core's build: which flags each gets, what stands for everything that goes into it, and the compiler's calls."""

from __future__ import annotations

import re
import subprocess
import sysconfig
import threading
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
from stress.device.core import codegen
from stress.device.core import hooks
from stress.device.core import objects
from stress.device.core import sources
from stress.device.core.compiler_output import CompileFailed
from stress.device.core.compiler_output import failed as compile_failed
from stress.device.core.sources import CoreSource
from stress.device.core.steps import Steps
from stress.device.torch_installation import TorchInstallation
from stress.model.shipped import shipped

ADAPTER = "hooks_adapter.cpp"
_OF_LAYER = ("simulated_metal/", "metal_shaders/", "adapter/", "runtime/")
_LONGEST = "core/torch_glue.cpp"
"""It includes other sources. No other unit that needs no precompiled headers takes as long as these."""
_INTERPRETER = "core/operators/"
"""For the layer's runtime as well: it has a place for each variable of a class, where the other asks the class's library."""
_TREE_OPERATORS = "-DMPS_STRESS_TREE_OPERATORS"
_FLAGS = (
    "-std=c++20",
    "-O1",
    "-g1",
    "-fPIC",
    "-pthread",
    "-fblocks",
    "-fno-omit-frame-pointer",
    "-ffile-compilation-dir=.",  # Else the folder that the build was started in stands before each path of the tree.
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
_INCLUDED_SOURCE = re.compile(r'^#include "(torch/\w+\.cpp)"$', re.MULTILINE)


def torch_key(torch: TorchInstallation) -> str:
    """Return what stands for an installed torch."""
    return cache.digest([torch.version, torch.git, str(torch.library_bytes)])


@dataclass(frozen=True)
class UnitCompiler:
    """Compiles units into object files, or finds them among those of earlier builds."""

    tree: Path
    output: Path
    sanitizer: str | None
    torch: TorchInstallation
    toolchain: Toolchain
    kept: objects.ObjectCache
    generator: codegen.Generator | None
    """None: torch's CPU kernels serve as operators."""
    precompiling: threading.Lock = field(default_factory=threading.Lock)

    @property
    def harness(self) -> Path:
        return shipped("harness")

    @property
    def links(self) -> Path:
        return self.output / "headers"

    @property
    def objects(self) -> Path:
        return self.output / "objects"

    @property
    def logs(self) -> Path:
        return self.output / "logs"

    @cached_property
    def sanitizing(self) -> list[str]:
        return [f"-fsanitize={self.sanitizer}"] if self.sanitizer else []

    @cached_property
    def _common(self) -> list[str]:
        """Return the flags of every unit that includes the tree's or torch's headers."""
        folders = [
            self.links,
            self.harness,
            self.harness / "adapter",
            self.harness / "simulated_metal" / "include",
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
                f"-ffile-prefix-map={self.links / included}={name}"
                for included, name in sources.HEADERS_OF_TREE.items()
            ),
            f"-ffile-prefix-map={self.tree}/=",
        ]

    def _arguments(self, source: CoreSource, *, instrumented: bool) -> list[str]:
        sanitizing = self.sanitizing if instrumented else []
        glue = [_TREE_OPERATORS] if self.generator is not None else []
        if source.name == ADAPTER:
            return [*self._common, *sanitizing]  # Sees both interfaces, and names their headers by path.
        if source.name.startswith((*_OF_LAYER, _INTERPRETER)):
            runtime = [*_OBJECTIVE_C, "-fobjc-runtime=gcc"] if source.is_objective_c else []
            return [*self._common, *sanitizing, *runtime]
        if source.name == codegen.REGISTRATIONS:
            return [*self._generated, *self._common, *hooks.RENAMING_FLAGS, *sanitizing]
        if not source.is_objective_c:
            return [*self._common, *hooks.RENAMING_FLAGS, *glue, *sanitizing]
        if not source.is_of_tree:
            included = ["-include", "simulated/macos.h"]
            if source.uses_torch:
                included = ["-include-pch", str(self._precompiled)]
            return [*self._of_tree, *glue, *sanitizing, *included]
        is_operator = source.is_operator
        precompiled = self._precompiled_for_operators if is_operator else self._precompiled
        headers = [one for one in source.forced if not (is_operator and one == sources.DECLARED_BY_TORCHGEN)]
        forced = [argument for header in headers for argument in ("-include", header)]
        generated = self._generated if is_operator else []
        defined = [f"-D{macro}" for macro in source.defined]
        return [*generated, *self._of_tree, *defined, *sanitizing, "-include-pch", str(precompiled), *forced]

    @cached_property
    def _generated(self) -> list[str]:
        """Return the flags that put torchgen's headers before torch's own."""
        if self.generator is None:
            return []
        return ["-DAT_PER_OPERATOR_HEADERS", "-I", self._generated_folder]

    @cached_property
    def _generated_folder(self) -> str:
        return str(self.generator.headers()) if self.generator is not None else ""

    @cached_property
    def _of_tree(self) -> list[str]:
        return [*self._common, *hooks.RENAMING_FLAGS, *_OBJECTIVE_C, "-fobjc-runtime=objfw"]

    @cached_property
    def _precompiled(self) -> Path:
        return self.objects / "precompiled.pch"

    @cached_property
    def _precompiled_for_operators(self) -> Path:
        return self.objects / "precompiled_operators.pch"

    def _require_precompiled(self, target: Path, before: Sequence[str]) -> None:
        """Precompile the headers that sources in Objective-C++ share, when the first of them is to be compiled."""
        with self.precompiling:
            if target.exists():
                return
            header = self.harness / "adapter" / f"{target.stem}.h"
            flags = ["objective-c++-header" if one == "objective-c++" else one for one in self._of_tree]
            part = target.with_suffix(".part")
            self.run(header.name, [*before, *flags, *self.sanitizing, str(header), "-o", str(part)])
            part.rename(target)

    @cached_property
    def _headers(self) -> dict[str, str]:
        """Return the hashes of the headers that a unit may include, by its kind; "tree" beside one of the others."""
        macos = (self.harness / "simulated_metal" / "include", self.harness / "adapter")
        layer = tuple(
            self.harness / one for one in ("simulated_metal", "metal_shaders", "adapter", "runtime")
        )
        links = [one for name in sources.HEADERS_OF_TREE if (one := self.links / name).exists()]
        return {
            "macos": objects.headers_digest(*macos),
            "layer": objects.headers_digest(*layer),
            "native": objects.headers_digest(*macos, self.harness / "native", self.harness / "runtime"),
            "glue": objects.headers_digest(self.harness),
            "tree": objects.headers_digest(*links),
            "generated": objects.headers_digest(Path(self._generated_folder))
            if self.generator is not None
            else "",
        }

    def _key(self, source: CoreSource, arguments: Sequence[str]) -> str:
        """Return what stands for everything that goes into an object file."""
        text = source.path.read_text(encoding="utf-8", errors="replace")
        included = [
            (self.harness / one).read_text(encoding="utf-8") for one in _INCLUDED_SOURCE.findall(text)
        ]
        kind = _kind(source)
        knows_tree = kind in ("macos", "glue") or source.name.startswith("native/mps/")
        is_generated = source.is_operator or source.name == codegen.REGISTRATIONS
        # Where these lie says nothing: what is in them is in the key already, or the source's own text.
        places = (str(self.output), str(self.tree), *([self._generated_folder] if is_generated else []))
        return cache.digest(
            [
                self.toolchain.version,
                torch_key(self.torch),
                self._headers[kind],
                *([self._headers["tree"]] if knows_tree else []),
                *([self._headers["generated"]] if is_generated else []),
                *(one for one in arguments if not any(place in one for place in places)),
                source.name,
                text.replace(str(self.output), ""),
                *included,
            ]
        )

    def compile_all(
        self,
        units: Sequence[CoreSource],
        uninstrumented: set[CoreSource],
        steps: Steps,
        failed: list[CoreSource] | None = None,
    ) -> dict[CoreSource, Path]:
        """Compile, what takes longest first, as many at a time as there are cores; what does not compile is added to `failed`."""

        def compile_one(source: CoreSource) -> tuple[CoreSource, Path | None]:
            target = self.objects / f"{source.name.replace('/', '-')}.o"
            arguments = self._arguments(source, instrumented=source not in uninstrumented)
            key = self._key(source, arguments)
            if not self.kept.take(key, target):
                try:
                    if source.is_operator:
                        self._require_precompiled(self._precompiled_for_operators, self._generated)
                    elif str(self._precompiled) in arguments:
                        self._require_precompiled(self._precompiled, ())
                    self.run(source.name, [*arguments, "-c", str(source.path), "-o", str(target)])
                except CompileFailed:
                    if failed is None:
                        raise
                    failed.append(source)
                    steps.done(f"{source.name} does not compile")
                    return source, None
                self.kept.keep(key, target)
            steps.done(source.name)
            return source, target

        ordered = sorted(
            units, key=lambda one: (one.name != _LONGEST, not one.is_of_tree, -one.path.stat().st_size)
        )
        pool = ThreadPoolExecutor(cpu_count() or 1)
        try:
            return {source: made for source, made in pool.map(compile_one, ordered) if made is not None}
        finally:
            pool.shutdown(cancel_futures=True)

    def run(self, name: str, arguments: Sequence[str]) -> None:
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
        (self.logs / f"{name.replace('/', '-')}.txt").write_text(log, encoding="utf-8")
        if done.returncode:
            raise compile_failed(name, log, text)


def _kind(source: CoreSource) -> str:
    if source.is_of_tree:
        return "macos"
    if source.name.startswith(_OF_LAYER):
        return "layer"
    return "native" if source.name.startswith("native/") else "glue"
