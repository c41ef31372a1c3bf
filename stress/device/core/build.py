"""The core of a tree as a library: found in the cache by its content, or built now, whole or not at all.

A build's key is everything that goes into it: the used files of the tree, the installed torch, the compiler, the layer
(simulated Metal, glue and driver), and the code that calls the compiler. Two checkouts of one content share a build.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Any

from stress.device import cache
from stress.device.clang import Toolchain
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.device.core import compile as compiler
from stress.device.core import tree as trees
from stress.device.core import versions
from stress.device.core.compiler_output import NO_SPACE
from stress.device.core.compiler_output import CompileFailed
from stress.device.core.steps import Progress
from stress.device.core.tree import PytorchTree
from stress.device.file_hashes import file_hashes
from stress.device.torch_installation import TorchInstallation
from stress.device.torch_installation import find_torch
from stress.model.errors import BuildError
from stress.model.errors import OptionError
from stress.model.shipped import shipped

SANITIZERS = ("thread",)
_LINKED = (compiler.LIBRARY, compiler.PYTHON_MODULE, compiler.DRIVER)
_PARTS = "parts.txt"
"""Main file of a build in the cache: the names of its libraries, one a line."""
_LAYER_SUFFIXES = (".h", ".cpp", ".mm", ".m", ".inc")
_NOT_KEPT = ("headers", "objects", "overlay.json")
"""What compiling leaves: links into the tree, files that the cache of objects has, and the compiler's map of headers."""
_LOADING_TIMEOUT_S = 120.0
_LOAD = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
_LOAD_INTO_TORCH = "import ctypes, os, sys, torch; ctypes.CDLL(sys.argv[1], os.RTLD_NOW)"

Say = Callable[[str], None]


@dataclass(frozen=True)
class CoreBuild:
    """A built core, in the cache."""

    library: Path
    python_module: Path | None
    driver: Path | None
    sources: tuple[str, ...]
    """What of the tree was compiled, as paths in it."""
    seconds: float
    """How long the build took when it was made."""
    is_new: bool
    """Whether it was made now."""
    units: Mapping[str, int]
    """As in `compile.Built`."""
    left_out: tuple[str, ...]
    driver_problem: str | None = None
    """Why there is no driver."""
    cpu_families: tuple[str, ...] = ()
    """Families of operators that stay with torch's CPU kernels, where the others are the tree's."""
    not_compiled: Mapping[str, str] = field(default_factory=dict)
    """As in `compile.Built`."""


@dataclass(frozen=True)
class CoreBuilder:
    """Builds one tree for one torch with one compiler."""

    tree: PytorchTree
    torch: TorchInstallation
    toolchain: Toolchain
    cache: Path
    sanitizer: str | None = None
    """One of `SANITIZERS`, or None."""

    @cached_property
    def folder(self) -> Path:
        """Return the folder of this build in the cache; its name is the key of everything that goes into it."""
        parts = [
            self.tree.content,
            self.torch.version,
            self.torch.git,
            str(self.torch.root),
            str(self.torch.library_bytes),
            str(self.toolchain.clangxx),
            self.toolchain.version,
            *_layer_hashes(self.cache),
        ]
        kind = f"{self.sanitizer or 'plain'}{'-operators' if self.tree.operators == 'tree' else ''}"
        return self.cache / f"core-{self.tree.version}-{kind}-{cache.key([*parts, self.tree.operators])}"

    def find(self) -> CoreBuild | None:
        """Return the cached build if it exists and is undamaged."""
        manifest = cache.read_valid(self.folder, _PARTS)
        if manifest is None:
            return None
        cache.note_use(self.folder)
        return self._from_manifest(manifest, is_new=False)

    def ensure(self, say: Say, progress: Progress, *, force: bool = False) -> CoreBuild:
        """Return the build, made now if need be.

        Raise `OptionError` for a tree that is half-applied or of another version, which `force` tries all the same, and
        for one that does not compile; `BuildError` where nothing can be built.
        """
        found = self.find()
        if found is not None:
            return found
        if not force:
            trees.require_sound(self.tree)
            versions.require_matching(self.tree, self.torch)
        made: list[Path] = []

        def make(work: Path) -> dict[str, Any]:
            made.append(work)
            return self._make(work, progress)

        manifest = cache.ensure(
            self.folder,
            _PARTS,
            make,
            waiting=lambda: say("another process is building this core: waiting for it"),
        )
        return self._from_manifest(manifest, is_new=bool(made))

    def _make(self, work: Path, progress: Progress) -> dict[str, Any]:
        """Build into `work`, and return what the manifest says of it."""
        try:
            built = compiler.build(
                self.tree.root,
                work,
                sanitizer=self.sanitizer,
                torch=self.torch,
                progress=progress,
                operators=self.tree.operators,
            )
        except CompileFailed as error:
            raise self._failed(error) from error
        parts = {
            name: path.relative_to(work).as_posix()
            for name in ("library", "python_module", "driver")
            if (path := getattr(built, name)) is not None
        }
        for one in _NOT_KEPT:
            if (work / one).is_dir():
                shutil.rmtree(work / one, ignore_errors=True)
            else:
                (work / one).unlink(missing_ok=True)
        self._require_loadable(work, built)
        (work / _PARTS).write_text("".join(f"{name}\n" for name in parts.values()), encoding="utf-8")
        return {
            **parts,
            cache.OTHERS: sorted(parts.values()),
            "sources": list(built.sources),
            "driver_problem": built.driver_problem,
            "units": dict(built.units),
            "left_out": list(built.left_out),
            "cpu_families": list(built.cpu_families),
            "not_compiled": dict(built.not_compiled),
            "tree": self.tree.to_data(),
            "torch": self.torch.version,
            "compiler": self.toolchain.version,
            "sanitizer": self.sanitizer,
        }

    def _require_loadable(self, work: Path, built: compiler.Built) -> None:
        """Raise `BuildError` where a symbol is missing, which a linker need not notice but a first call would."""
        if self.tree.operators == "tree" and self.sanitizer is None:
            command = [sys.executable, "-c", _LOAD_INTO_TORCH, str(built.python_module)]
        elif built.driver is not None:
            command = [str(built.driver), "--list"]
        elif self.sanitizer is None:
            command = [sys.executable, "-c", _LOAD, str(built.library)]
        else:
            return  # Its runtime would have to be loaded first, as a program that is instrumented does.
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_LOADING_TIMEOUT_S,
                check=False,
                env={**os.environ, "LC_ALL": "C.UTF-8", "LD_BIND_NOW": "1"},
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BuildError(f"what was built does not run ({error})") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().replace(f"{work}/", "").splitlines()
            reason = said[-1] if said else f"exit status {done.returncode}"
            raise BuildError(f"what was built does not load: {reason}")

    def _from_manifest(self, manifest: dict[str, Any], *, is_new: bool) -> CoreBuild:
        parts = {
            name: self.folder / manifest[name] if name in manifest else None
            for name in ("python_module", "driver")
        }
        return CoreBuild(
            library=self.folder / manifest["library"],
            sources=tuple(manifest["sources"]),
            seconds=manifest["seconds"],
            driver_problem=manifest["driver_problem"],
            units=manifest["units"],
            left_out=tuple(manifest["left_out"]),
            cpu_families=tuple(manifest["cpu_families"]),
            not_compiled=manifest["not_compiled"],
            is_new=is_new,
            **parts,
        )

    def _failed(self, error: CompileFailed) -> OptionError | BuildError:
        """Return the sentence for a source that does not compile; the whole output goes into a file in the cache."""
        reason = next((one for one in NO_SPACE if one in error.log), None)
        if reason is not None:
            return BuildError(
                f"the disk is full ({reason}): make room, or set {cache.CACHE_VARIABLE} to a folder on another disk"
            )
        log = self.cache / f"{self.folder.name}.log"
        log.write_text(error.log, encoding="utf-8")
        missing = (
            f"\n{error.missing_name} is not in the simulated Metal: it is one of Apple's that no tree tried so far uses. "
            "Report it with the tree's commit"
            if error.missing_name
            else ""
        )
        return OptionError(
            f"{error.source} {'cannot be linked' if error.source in _LINKED else 'does not compile'}\n{error.first_error_line}{missing}\nthe compiler's whole output: {log}",
            option=f"pytorch={self.tree.given}",
        )


def core_builder(given: str, sanitizer: str | None = None, operators: str = "cpu") -> CoreBuilder:
    """Return the builder of the tree at `given` for the installed torch; raise `OptionError` or `BuildError`.

    `operators`: "tree" for the tree's own operators, "cpu" for torch's CPU kernels.
    """
    tree, torch = trees.inspect(given, operators), find_torch()
    try:
        toolchain = find_toolchain("a core")
    except ToolchainError as error:
        raise BuildError(str(error)) from error
    return CoreBuilder(tree, torch, toolchain, cache.cache_folder(), sanitizer)


def said_once(say: Say) -> Progress:
    """Return a progress that says once that a core is being built: it takes a minute."""
    said: list[str] = []

    def progress(what: str, share: float) -> None:
        if not said:
            said.append(what)
            say(
                "building the core of this tree, about a minute, once (mps-stress core build shows the progress)"
            )

    return progress


def _layer_hashes(cache_folder: Path) -> Iterator[str]:
    """Yield name and hash of everything of ours that a build is made from, in a fixed order."""
    for folder, suffixes in ((shipped("harness"), _LAYER_SUFFIXES), (Path(__file__).parent, (".py",))):
        paths = [path for path in sorted(folder.rglob("*")) if path.suffix in suffixes]
        yield from file_hashes(folder, paths, cache_folder)
