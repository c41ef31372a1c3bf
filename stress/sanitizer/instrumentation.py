"""Count what is instrumented: a race in code that is not is never seen, and nothing else shows it.

The canary cannot: it lives in one translation unit, and a program with one instrumented unit of three finds it.
clang puts a `tsan.module_ctor` into every unit that it instruments; the runtime's own symbols prove nothing, since a
static link has them in any case.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.device.clang import Toolchain

_MARKER = re.compile(r" t _?tsan\.module_ctor$", re.MULTILINE)
_HOOK = re.compile(
    r" U _{2,3}tsan_(?:func_entry|(?:unaligned_)?(?:read|write)|read_write|vptr_|atomic)", re.MULTILINE
)
_OPTED_OUT = re.compile(
    r'no_sanitize(?!\("(?:kernel-)?(?:hw)?address"\))|disable_sanitizer_instrumentation|no_thread_safety_instrument'
)
_LOADED = re.compile(r"^\s*(?P<name>\S.*?)(?: => (?P<path>/.*?))? \(0x[0-9a-f]+\)$", re.MULTILINE)
_APPLE_LOADED = re.compile(r"^\t(?P<path>[/@].*?) \(compatibility version", re.MULTILINE)
_TIMEOUT_S = 30.0
_MANGLED = re.compile(rb"_Z[A-Za-z0-9_.$]{2,2000}")
_PLAIN = re.compile(r" [Tt] (?P<name>(?!_Z)\S.*)$", re.MULTILINE)
_RUNTIME_PREFIXES = (
    "__tsan",
    "__sanitizer",
    "__interc",
    "___interceptor",
    "__ubsan",
    "___tsan",
    "tsan.",
    "_tsan.",
)
_RUNTIME_NAME = "clang_rt.tsan"
_KERNEL_LIBRARY = "linux-vdso.so"


class CountError(Exception):
    """The symbols of a file cannot be read."""


@dataclass(frozen=True)
class Marks:
    """The marks of instrumentation in the symbols of an object file or a program."""

    constructors: int
    """How many `tsan.module_ctor` it has: one per instrumented unit."""
    hooks: int
    """How many functions of the runtime it calls for reads, writes, atomics and calls; 0 for a linked program."""


def marks_of(path: Path, toolchain: Toolchain) -> Marks:
    """Return the marks of an object file or a program."""
    text = _symbols([path], toolchain)
    return Marks(len(_MARKER.findall(text)), len(set(_HOOK.findall(text))))


def opted_out(sources: Iterable[Path], root: Path) -> list[str]:
    """Return "file:line" of every place where a source asks the compiler not to instrument it."""
    places = []
    for path in sources:
        text = path.read_text(encoding="utf-8", errors="replace")
        if _OPTED_OUT.search(text):
            places += [
                f"{path.relative_to(root)}:{number}"
                for number, line in enumerate(text.splitlines(), 1)
                if _OPTED_OUT.search(line)
            ]
    return places


@dataclass(frozen=True)
class Library:
    """A shared library that the program loads when it starts."""

    path: Path
    instrumented: bool

    @property
    def name(self) -> str:
        return self.path.name


def libraries_of(program: Path, toolchain: Toolchain, env: Mapping[str, str]) -> list[Library]:
    """Return the libraries that `program` loads under `env`, each with whether its code is instrumented."""
    paths = [path for path in _loaded(program, toolchain, env) if _RUNTIME_NAME not in path.name]
    return [Library(path, is_instrumented(path, toolchain)) for path in paths]


def names_in(program: Path, sources: Iterable[Path], toolchain: Toolchain) -> set[str]:
    """Return every name that a suppression could match in a frame of our own code: functions, `sources`, the program.

    Functions are those of the symbols and of the debug information, which has the inlined ones as well.
    """
    mangled = {name.decode() for name in _MANGLED.findall(program.read_bytes())}
    filt = toolchain.nm.with_name("llvm-cxxfilt")
    command = str(filt) if filt.is_file() else "c++filt"
    functions = _output([command], os.environ, stdin="\n".join(sorted(mangled))).splitlines()
    plain = _PLAIN.findall(_symbols([program], toolchain, "--defined-only"))
    own = (one for one in {*functions, *plain} if not one.startswith(_RUNTIME_PREFIXES))
    return {
        *own,
        *map(str, sources),
        str(program),
        program.name,
    }


def _loaded(program: Path, toolchain: Toolchain, env: Mapping[str, str]) -> list[Path]:
    """Ask the loader: on Linux it resolves the libraries of libraries too; on a Mac the direct ones are known."""
    if toolchain.is_apple:
        text = _output(["otool", "-L", str(program)], env)
        return [Path(one["path"]) for one in _APPLE_LOADED.finditer(text)]
    text = _output([str(program)], {**env, "LD_TRACE_LOADED_OBJECTS": "1"})
    paths = [one["path"] or one["name"] for one in _LOADED.finditer(text)]
    return [Path(one) for one in paths if not one.startswith(_KERNEL_LIBRARY)]


def is_instrumented(path: Path, toolchain: Toolchain) -> bool:
    """Whether a library calls the runtime. Apple's lie in a shared cache, not on the disk, and never do."""
    if not path.is_file():
        return False
    return (
        _HOOK.search(
            _symbols([path], toolchain, "--dynamic" if not toolchain.is_apple else "--undefined-only")
        )
        is not None
    )


def _symbols(paths: Sequence[Path], toolchain: Toolchain, *options: str) -> str:
    return _output([str(toolchain.nm), *options, *map(str, paths)], os.environ)


def _output(command: Sequence[str], env: Mapping[str, str], stdin: str = "") -> str:
    try:
        done = subprocess.run(
            command, input=stdin.encode(), capture_output=True, timeout=_TIMEOUT_S, check=False, env=env
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CountError(f"{command[0]} does not run ({error})") from error
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()[-500:]
        raise CountError(f"{command[0]} ended with status {done.returncode}: {text}")
    return done.stdout.decode(errors="replace")
