#!/usr/bin/env python3
"""Check, without a Mac, that the native harness compiles for one and that torch exports what it needs.

    tools/check_macos.py [VERSION ...]            # default: the oldest supported torch, the newest on the index

Every source of `tsan/harness.toml` is compiled for arm64 macOS, with the flags of the real build, against the headers of
torch's macOS wheels and `tools/macos_declarations`, which has the names of Apple's frameworks. Then every symbol of
torch's that the objects leave open is looked for in the wheel's libraries. The compiler is `zig c++`, from PyPI, because
it brings macOS's C and C++ headers. This is a compile and link-symbol check and nothing more: nothing is linked or run.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stress.device.cache import cache_folder  # noqa: E402
from stress.device.clang import Toolchain  # noqa: E402
from stress.sanitizer.native.build import COMPILERS_AT_ONCE  # noqa: E402
from stress.sanitizer.native.build import NativeBuilder  # noqa: E402
from stress.sanitizer.native.harness import default_recipe  # noqa: E402
from stress.sanitizer.native.recipe import Recipe  # noqa: E402
from stress.sanitizer.native.recipe import Unit  # noqa: E402
from tools import torch_wheels  # noqa: E402

TARGET = "aarch64-macos.14.0"
DECLARATIONS = ROOT / "tools" / "macos_declarations"
USES_TORCH = "native/mps/"
NOTHING_MORE = (
    "This is a compile and link-symbol check and nothing more: Apple's frameworks were declared by us, nothing was\n"
    "linked, and nothing was run on macOS."
)
_ZIG = "ziglang"
_ZIG_LEFT_OUT = re.compile(r"ziglang/(lib/libc/(?!darwin/|include/any-darwin-any/)|lib/docs/)")
"""The C libraries of other systems: most of the package."""
_NM = ("llvm-nm-19", "llvm-nm-20", "llvm-nm-21", "llvm-nm-22", "llvm-nm-18", "llvm-nm")
_OF_TORCH = re.compile(r"(?<!\d)(?:2at|3c10|5torch|6caffe2)(?=[0-9A-Z])")
"""A namespace in a mangled name: at, c10, torch, caffe2."""
_LINES_SHOWN = 15


class CheckError(Exception):
    """The check cannot be made; the text says what is missing."""


@dataclass(frozen=True)
class Symbols:
    """What object files define, and what they leave to the libraries."""

    defined: frozenset[str]
    undefined: frozenset[str]

    @property
    def open(self) -> frozenset[str]:
        return self.undefined - self.defined

    @property
    def of_torch(self) -> list[str]:
        """Return the open ones that only torch's libraries can have."""
        return sorted(one for one in self.open if _OF_TORCH.search(one))


def read_symbols(lines: Iterable[str]) -> Symbols:
    """Return what `nm --format=posix` says: a name and the letter of its kind on each line."""
    defined, undefined = set(), set()
    for line in lines:
        name, _, rest = line.strip().partition(" ")
        kind = rest[:1]
        if kind in ("U", "u"):
            undefined.add(name)
        elif kind.isalpha():
            defined.add(name)
    return Symbols(frozenset(defined), frozenset(undefined))


def find_nm() -> Path:
    """Return an `nm` that reads Mach-O files; raise `CheckError`."""
    found = next(filter(None, map(shutil.which, _NM)), None)
    if found is None and sys.platform == "darwin":
        found = shutil.which("nm")
    if found is None:
        raise CheckError("no llvm-nm, which reads the libraries of macOS: apt-get install llvm-19")
    return Path(found)


@dataclass(frozen=True)
class Compiler:
    """`zig c++`, and what it says of itself."""

    command: tuple[str, ...]
    version: str

    @classmethod
    def find(cls) -> Compiler:
        """Return the compiler of PyPI's ziglang, downloaded if need be; raise `CheckError`, `WheelError`."""

        def unpack(wheel: zipfile.ZipFile, work: Path) -> None:
            wheel.extractall(work, [one for one in wheel.namelist() if not _ZIG_LEFT_OUT.match(one)])
            (work / _ZIG / "zig").chmod(0o755)

        zig = torch_wheels.package(_ZIG, unpack) / _ZIG / "zig"
        command = (str(zig), "c++", "-target", TARGET)
        done = _run([*command, "--version"])
        if done.returncode:
            raise CheckError(f"{zig} does not run: {done.stderr.strip() or done.stdout.strip()}")
        return cls(command, done.stdout.partition("\n")[0])

    def compile(self, unit: Unit, flags: Sequence[str], target: Path) -> str:
        """Return what is wrong with the unit; empty when it compiles."""
        # zig adds the undefined-behaviour sanitizer by itself; Apple's clang does not.
        added = ["-isystem", str(DECLARATIONS), "-fno-sanitize=undefined"]
        done = _run([*self.command, *flags, *added, "-c", str(unit.source), "-o", str(target)])
        if done.returncode == 0:
            return ""
        lines = [line for line in done.stderr.splitlines() if "error:" in line] or done.stderr.splitlines()
        return "\n".join([f"{unit.name} does not compile:", *lines[:_LINES_SHOWN]])


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    work = cache_folder() / "macos" / "zig-cache"
    work.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(work), "ZIG_LOCAL_CACHE_DIR": str(work)}
    # In a folder of ours: asked for its version, it leaves an empty object file behind.
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=work)


class Check:
    """The check of one recipe, release by release."""

    def __init__(self, compiler: Compiler, nm: Path, work: Path) -> None:
        self.compiler, self.nm, self.work = compiler, nm, work
        self.problems: list[str] = []
        self._without_torch: list[Path] | None = None

    def release(self, version: str) -> None:
        """Compile against one release's headers, look its exports up, and print what came of it."""
        include = torch_wheels.headers(version)
        builder = self._builder(include.parent)
        own = [one for one in builder.recipe.units if one.name.startswith(USES_TORCH)]
        others = [one for one in builder.recipe.units if one not in own]
        before = len(self.problems)
        if self._without_torch is None:
            self._without_torch = self._compile(builder, others, "no-torch")
        if len(self.problems) == before:
            objects = [*self._compile(builder, own, version), *self._without_torch]
        if len(self.problems) > before:
            print(f"torch {version}: does not compile")
            return
        needed = read_symbols(self._nm(objects)).of_torch
        exported = torch_wheels.exports(version, self.nm)
        missing = [one for one in needed if one not in exported]
        print(
            f"torch {version}: {len(own)} files compile against its headers; "
            f"{len(needed) - len(missing)} of the {len(needed)} symbols of torch's that the harness needs are exported "
            f"by {', '.join(torch_wheels.LIBRARIES)}"
        )
        self.problems += [f"torch {version} does not export {one}" for one in missing]

    def build_line(self) -> str:
        """Return the commands of a build on a Mac, with {torch} for the folder of the installed torch."""
        builder = self._builder(Path("{torch}"))
        unit = next(
            one for one in builder.recipe.units if one.name.startswith(USES_TORCH) and one.is_objective_c
        )
        compile_line = ["clang++", *builder.compile_flags(unit), "-c", str(unit.source), "-o", "..."]
        link_line = ["clang++", *builder.link_command(["*.o"], Path(builder.recipe.name))[1:]]
        shown = [" ".join(_quoted(one) for one in line) for line in (compile_line, link_line)]
        return "\n".join(f"  {line}" for line in shown).replace(str(builder.recipe.root), "harness")

    def _builder(self, torch: Path) -> NativeBuilder:
        recipe = Recipe.load(default_recipe(), "darwin", torch)
        # As Apple's clang gets it, with this compiler in its place.
        nowhere = Path(os.devnull)
        return NativeBuilder(
            recipe, Toolchain(Path("clang++"), self.compiler.version, nowhere, nowhere, self.nm, None)
        )

    def _compile(self, builder: NativeBuilder, units: Sequence[Unit], folder: str) -> list[Path]:
        (self.work / folder).mkdir()
        targets = [self.work / folder / f"{one.name.replace('/', '-')}.o" for one in units]
        with ThreadPoolExecutor(COMPILERS_AT_ONCE) as pool:
            said = pool.map(
                lambda unit, target: self.compiler.compile(unit, builder.compile_flags(unit), target),
                units,
                targets,
            )
            self.problems += filter(None, said)
        return targets

    def _nm(self, objects: Sequence[Path]) -> list[str]:
        done = subprocess.run(
            [self.nm, "--format=posix", "--extern-only", "--quiet", *objects],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.splitlines()


def _quoted(argument: str) -> str:
    return argument if re.fullmatch(r"[\w{}*./=,+-]+", argument) else shlex.quote(argument)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = [torch_wheels.OLDEST, torch_wheels.NEWEST]
    parser.add_argument("versions", nargs="*", metavar="VERSION", default=default)
    given = parser.parse_args().versions
    try:
        nm = find_nm()
        versions = [torch_wheels.newest_version() if one == torch_wheels.NEWEST else one for one in given]
        compiler = Compiler.find()
        with tempfile.TemporaryDirectory() as work:
            check = Check(compiler, nm, Path(work))
            units = Recipe.load(default_recipe(), "darwin", Path("{torch}")).units
            print(f"{len(units)} files for {TARGET}, compiled by zig's {compiler.version}")
            for version in dict.fromkeys(versions):
                check.release(version)
    except (CheckError, torch_wheels.WheelError, OSError) as error:
        print(f"check-macos: {error}", file=sys.stderr)
        return 2
    if check.problems:
        print("\n".join(check.problems))
        return 1
    print(f"the build on a Mac (never run):\n{check.build_line()}\n{NOTHING_MORE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
