"""Units of a core's build: which flags each gets, what stands for everything that goes into it, and the compiler's calls."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from functools import cached_property
from pathlib import Path

from stress.device import cache
from stress.device.clang import Toolchain
from stress.device.core import codegen
from stress.device.core import hooks
from stress.device.core import objects
from stress.device.core import precompiled
from stress.device.core import sources
from stress.device.core.compiler_output import CompileFailed
from stress.device.core.compiler_output import failed as compile_failed
from stress.device.core.precompiled import TREE_ROOT
from stress.device.core.precompiled import Precompiled
from stress.device.core.sources import DECLARED_BY_TORCHGEN
from stress.device.core.sources import INCLUDED_SOURCE
from stress.device.core.sources import CoreSource
from stress.device.torch_installation import TorchInstallation
from stress.model.shipped import shipped

ADAPTER = "hooks_adapter.cpp"
_OF_LAYER = ("simulated_metal/", "metal_shaders/", "adapter/", "runtime/")
_INTERPRETER = "core/operators/"
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
    precompiling: dict[Precompiled, threading.Lock] = field(
        default_factory=lambda: {one: threading.Lock() for one in precompiled.ALL}
    )

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
            TREE_ROOT,
            self.harness,
            self.harness / "adapter",
            self.harness / "simulated_metal" / "include",
            *self.torch.include_folders,
            Path(sysconfig.get_paths()["include"]),
        ]
        overlay = self.output / "overlay.json"
        precompiled.write_overlay(self.tree, overlay)
        return [
            *_FLAGS,
            *_TORCH,
            f"-D_GLIBCXX_USE_CXX11_ABI={int(self.torch.cxx11_abi)}",
            "-ivfsoverlay",
            str(overlay),
            *(argument for folder in folders for argument in ("-I", str(folder))),
            "-idirafter",
            str(self.toolchain.objective_c_headers),
            # Reports name files by their path in the tree, the same for every checkout of it.
            *(
                f"-ffile-prefix-map={TREE_ROOT / included}={name}"
                for included, name in sources.HEADERS_OF_TREE.items()
            ),
            f"-ffile-prefix-map={self.tree}/=",
        ]

    def _arguments(self, source: CoreSource, *, instrumented: bool) -> list[str]:
        sanitizing = self.sanitizing if instrumented else []
        header = self.precompiled_for(source, instrumented=instrumented)
        flags = [*self._common, *sanitizing]
        if header is not None:
            flags += header.using_flags(self._path_of(header))
        if source.name == ADAPTER or source.name.startswith(_OF_LAYER):
            return flags  # The adapter sees both interfaces, and names their headers by path.
        if source.name == codegen.REGISTRATIONS or source.is_operator:
            flags = ["-I", self._generated_folder, *flags]
        if source.is_of_tree:
            forced = [
                one for one in source.forced if not (source.is_operator and one == DECLARED_BY_TORCHGEN)
            ]
            defined = [f"-D{macro}" for macro in source.defined]
            return [*flags, *defined, *(argument for one in forced for argument in ("-include", one))]
        glue = [_TREE_OPERATORS] if self.generator is not None else []
        return [*flags, *(hooks.RENAMING_FLAGS if header is None or not header.knows_tree else ()), *glue]

    def generate(self) -> None:
        """Run torchgen for the operators' headers, where they are not in the cache."""
        _ = self._generated_headers

    @cached_property
    def _generated_folder(self) -> str:
        return str(self.generator.headers()) if self.generator is not None else ""

    def _path_of(self, header: Precompiled) -> Path:
        return self.objects / f"{header.name}.pch"

    def precompiled_for(self, source: CoreSource, *, instrumented: bool) -> Precompiled | None:
        """Return the precompiled header that this unit is compiled with."""
        return _precompiled_for(source) if instrumented else None

    def require_precompiled(self, header: Precompiled) -> None:
        """Take the precompiled header from the cache, or make it; raise `CompileFailed`."""
        target = self._path_of(header)
        with self.precompiling[header]:
            if target.exists():
                return
            path = self.harness / "adapter" / header.header
            arguments = [*self._common, *self.sanitizing, *header.making_flags(), str(path)]
            digest = cache.digest(
                [
                    self.toolchain.version,
                    torch_key(self.torch),
                    self._headers["macos"],
                    *([self._headers["tree"]] if header.knows_tree else []),
                    *self._without_places(arguments),
                ]
            )
            key = f"{digest}{objects.PRECOMPILED}"
            if self.kept.take(key, target):
                if self._is_usable(header):
                    return
                target.unlink()
            part = target.with_suffix(".part")
            self.run(path.name, [*arguments, "-o", str(part)])
            self.kept.keep(key, part)
            part.rename(target)

    def _is_usable(self, header: Precompiled) -> bool:
        """Return whether all that it was made of is as it was: an update of the system changes headers of the C++ library."""
        flags = header.using_flags(self._path_of(header))
        language = [] if "-x" in flags else ["-x", "c++"]
        try:
            self.run(
                header.name, [*self._common, *self.sanitizing, *flags, *language, "-fsyntax-only", os.devnull]
            )
        except CompileFailed:
            return False
        return True

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
        }

    @cached_property
    def _generated_headers(self) -> str:
        return objects.headers_digest(Path(self._generated_folder)) if self.generator is not None else ""

    def _without_places(self, arguments: Sequence[str], *places: str) -> list[str]:
        """Return the arguments without those that say where a tree or a build lies: what is in them is in the key."""
        named = (str(self.output), str(self.tree), *places)
        return [one for one in arguments if not any(place in one for place in named)]

    def _key(self, source: CoreSource, arguments: Sequence[str]) -> str:
        """Return what stands for everything that goes into an object file."""
        text = source.path.read_text(encoding="utf-8", errors="replace")
        included = [(self.harness / one).read_text(encoding="utf-8") for one in INCLUDED_SOURCE.findall(text)]
        kind = _kind(source)
        header = _precompiled_for(source)
        knows_tree = (
            kind in ("macos", "glue")
            or source.name.startswith("native/mps/")
            or (header is not None and header.knows_tree)
        )
        is_generated = source.is_operator or source.name == codegen.REGISTRATIONS
        # Where these lie says nothing: what is in them is in the key already, or the source's own text.
        places = [self._generated_folder] if is_generated else []
        return cache.digest(
            [
                self.toolchain.version,
                torch_key(self.torch),
                self._headers[kind],
                *([self._headers["tree"]] if knows_tree else []),
                *([self._generated_headers] if is_generated else []),
                *self._without_places(arguments, *places),
                source.name,
                text.replace(str(self.output), ""),
                *included,
            ]
        )

    def target(self, source: CoreSource) -> Path:
        """Return where the unit's object file is, or will be."""
        return self.objects / f"{source.name.replace('/', '-')}.o"

    def find(self, source: CoreSource, *, instrumented: bool) -> bool:
        """Take the unit's object file from the cache; return whether it is there."""
        key = self._key(source, self._arguments(source, instrumented=instrumented))
        return self.kept.take(key, self.target(source))

    def compile(self, source: CoreSource, *, instrumented: bool) -> None:
        """Compile a unit; raise `CompileFailed`."""
        header = self.precompiled_for(source, instrumented=instrumented)
        if header is not None:
            self.require_precompiled(header)
        arguments = self._arguments(source, instrumented=instrumented)
        self.run(source.name, [*arguments, "-c", str(source.path), "-o", str(self.target(source))])
        self.kept.keep(self._key(source, arguments), self.target(source))

    def try_operator(self, source: CoreSource) -> CompileFailed | None:
        """Take or compile a source of operators; return why it does not compile, which is kept by the same key."""
        arguments = self._arguments(source, instrumented=True)
        key = self._key(source, arguments)
        log = self.kept.failure(key)
        if log is not None:
            self._log(source.name).write_text(log, encoding="utf-8")
            return compile_failed(source.name, log, log.partition("\n\n")[2])
        if self.kept.take(key, self.target(source)):
            return None
        self.require_precompiled(
            precompiled.OF_TREE
        )  # Where that does not compile, nothing of the tree does.
        try:
            self.compile(source, instrumented=True)
        except CompileFailed as error:
            if not error.is_of_source:
                return error
            log = error.log.replace(f"{self.tree}/", "")  # Another checkout may have the same source.
            self.kept.keep_failure(key, log)
            return compile_failed(source.name, log, log.partition("\n\n")[2])
        return None

    def _log(self, name: str) -> Path:
        return self.logs / f"{name.replace('/', '-')}.txt"

    def run(self, name: str, arguments: Sequence[str]) -> None:
        command = [str(self.toolchain.clangxx), *arguments]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
        text = done.stdout.decode(errors="replace")
        log = f"{' '.join(command)}\n\n{text}"
        self._log(name).write_text(log, encoding="utf-8")
        if done.returncode:
            # A compiler that was killed, or that found no room, says nothing about the source.
            raise compile_failed(name, log, text, is_of_source=done.returncode == 1)


def _precompiled_for(source: CoreSource) -> Precompiled | None:
    """Return the precompiled header that a unit is compiled with, where it is worth one."""
    if source.name == ADAPTER:
        return None
    if source.name.startswith(_OF_LAYER):
        return precompiled.OF_LAYER if source.is_objective_c else precompiled.OF_LAYER_CPP
    if source.is_of_tree:
        return precompiled.OF_TORCH if source.needs_all_operators else precompiled.OF_TREE
    if source.name == codegen.REGISTRATIONS:
        return precompiled.OF_TREE
    if source.name.startswith(_INTERPRETER) or (
        source.name.startswith("core/") and not source.is_objective_c
    ):
        return precompiled.OF_TORCH if source.uses_torch else None
    return precompiled.OF_TREE if source.uses_torch or source.is_objective_c else precompiled.OF_LAYER_CPP


def _kind(source: CoreSource) -> str:
    if source.is_of_tree:
        return "macos"
    if source.name.startswith(_OF_LAYER):
        return "layer"
    return "native" if source.name.startswith("native/") else "glue"
