"""Build the simulated device from `harness/` at first use, and keep it.

A build belongs to one torch: a library of another minor version loads by luck only (2.13's did in 2.14.1, not
in 2.9.1), so the key is torch's version, commit and ABI, the sources, the compiler and the dispatch key.

Torch's headers take longer to read than our code to compile, so the files are compiled in a few groups (with 29
files apart, 80 s of CPU time; in three groups, 25 s). Two compilers run at a time: each takes up to a gigabyte.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stress.device import cache
from stress.device.file_hashes import file_hashes
from stress.device.sim.settings import SimSettings
from stress.device.sim.toolchain import Compiler
from stress.device.sim.toolchain import find_compiler
from stress.device.torch_installation import TorchInstallation
from stress.device.torch_installation import find_torch
from stress.model.errors import BuildError
from stress.model.shipped import shipped
from stress.model.spec import SimSpec

LIBRARY = "libmps_stress_sim.so"
GROUPS = {"torch": 2, "runtime": 1}
"""Folder of sources -> into how many groups its files are put."""
COMPILERS_AT_ONCE = 2
FLAGS = ("-std=c++20", "-O2", "-g1", "-fPIC", "-pthread")
_LIBRARIES = ("-ltorch_cpu", "-lc10")

Say = Callable[[str], None]


@dataclass(frozen=True)
class SimBuild:
    """A built library, and what it was built for."""

    library: Path
    sha256: str
    key: str
    """"mps" or "privateuseone": the dispatch key that the device is registered on."""

    def spec(self, settings: SimSettings) -> SimSpec:
        """Return what a child must know about the device to simulate."""
        return SimSpec(
            str(self.library), self.key, settings.design, settings.configure_text(), settings.schedule
        )

    def to_data(self) -> dict[str, object]:
        return {"library": str(self.library), "library_sha256": self.sha256, "key": self.key}


@dataclass(frozen=True)
class SimBuilder:
    """Builds one set of sources for one torch with one compiler."""

    sources: Path
    torch: TorchInstallation
    compiler: Compiler
    cache: Path
    flags: tuple[str, ...] = FLAGS
    about: str = "about 20 s, once"
    """How long a build takes, as printed at first use."""

    @cached_property
    def groups(self) -> list[list[Path]]:
        """Return the files that are compiled together, in groups of about equal size, one folder after another."""
        found = []
        for name, count in GROUPS.items():
            groups: list[list[Path]] = [[] for _ in range(count)]
            bytes_of = {path: path.stat().st_size for path in sorted((self.sources / name).glob("*.cpp"))}
            for path in sorted(bytes_of, key=lambda one: -bytes_of[one]):
                min(groups, key=lambda group: sum(bytes_of[one] for one in group)).append(path)
            found += [sorted(group) for group in groups if group]
        return found

    @cached_property
    def folder(self) -> Path:
        """Return the folder of this build in the cache; its name is the key of everything that goes into it."""
        parts = [
            self.torch.version,
            self.torch.git,
            str(self.torch.library_bytes),
            str(self.torch.cxx11_abi),
            self.torch.key,
            self.compiler.version,
            *self.compiler.command[1:],
            " ".join(self.flags),
            *self._source_hashes(),
        ]
        digest = cache.key(parts)
        return self.cache / f"torch-{self.torch.version}-{self.torch.key}-{digest}"

    def _source_hashes(self) -> list[str]:
        """Return name and hash of every source and header, in a fixed order."""
        paths = [
            path
            for name in GROUPS
            for path in sorted((self.sources / name).glob("*"))
            if path.suffix in (".cpp", ".h", ".inc")
        ]
        if not self.groups:
            raise BuildError(f"its sources are missing ({self.sources}): reinstall mps-stress")
        return file_hashes(self.sources, paths, self.cache)

    def find(self) -> SimBuild | None:
        """Return the cached build if it exists and is undamaged."""
        manifest = cache.read_valid(self.folder, LIBRARY)
        if manifest is None:
            return None
        cache.note_use(self.folder)
        return SimBuild(self.folder / LIBRARY, manifest["sha256"], self.torch.key)

    def ensure(self, say: Say, *, again: bool = False) -> SimBuild:
        """Return the build, made now if need be, or with `again` in any case; raise `BuildError` without one."""
        manifest = cache.ensure(
            self.folder,
            LIBRARY,
            lambda work: self._make(work, say),
            waiting=lambda: say("another process is building the simulated device: waiting for it"),
            again=again,
        )
        return SimBuild(self.folder / LIBRARY, manifest["sha256"], self.torch.key)

    def _make(self, work: Path, say: Say) -> dict[str, object]:
        kind = "damaged or unusable, building it again" if self.folder.exists() else "building it"
        say(
            f"simulated device: {kind} for torch {self.torch.version} ({self.about}; {self.compiler.version}) "
            f"in {self.folder}"
        )
        self._compile(work)
        return {
            "torch": self.torch.version,
            "torch_git": self.torch.git,
            "key": self.torch.key,
            "compiler": self.compiler.version,
            "flags": self._compile_flags(),
        }

    def _compile(self, work: Path) -> None:
        """Compile every group and link; the log of a failed command stays in the cache folder."""
        objects, commands = [], []
        for number, group in enumerate(self.groups):
            unit, target = work / f"group-{number}.cpp", work / f"group-{number}.o"
            unit.write_text("".join(f'#include "{path}"\n' for path in group), encoding="utf-8")
            commands.append(
                [*self.compiler.command, *self._compile_flags(), "-c", str(unit), "-o", str(target)]
            )
            objects.append(target)
        with ThreadPoolExecutor(COMPILERS_AT_ONCE) as pool:
            list(pool.map(self._run, commands))
        link = [*self.compiler.command, "-shared", "-pthread", "-Wl,-z,defs", *map(str, objects)]
        self._run([*link, "-o", str(work / LIBRARY), f"-L{self.torch.library_folder}", *_LIBRARIES])
        for one in work.glob("group-*"):
            one.unlink()

    def _compile_flags(self) -> list[str]:
        """Return the flags; torch's headers come before ours, which are found by quoted includes only."""
        key = ["-DMPS_SIM_PRIVATEUSE1"] if self.torch.key == "privateuseone" else []
        includes = [f"-I{folder}" for folder in self.torch.include_folders]
        own = [argument for name in ("", *GROUPS) for argument in ("-iquote", str(self.sources / name))]
        return [*self.flags, f"-D_GLIBCXX_USE_CXX11_ABI={int(self.torch.cxx11_abi)}", *key, *includes, *own]

    def _run(self, command: Sequence[str]) -> None:
        cache.run_compiler(command, self.cache / f"{self.folder.name}.log", self.compiler.version)


def default_builder() -> SimBuilder:
    """Return the builder of the shipped sources for the installed torch; raise `BuildError` without its needs."""
    return SimBuilder(shipped("harness"), find_torch(), find_compiler(), cache.cache_folder())
