"""Compile Metal libraries for the simulated Metal: a tree's `.metal` files when it is built, texts when a process asks.

Run as a program it compiles one text: `python -m stress.device.core.shaders SOURCE TARGET VERSION CLANGXX`. The simulated
Metal calls it by the script `compile` of the folder that `runtime_folder` makes. Exit status 1: the text is wrong, or
not understood; 3: it uses what is not carried, and the sentence names it.
"""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from stress.device import cache
from stress.device.clang import Toolchain
from stress.device.core import objects
from stress.device.core.shader_tokens import MetalSourceError
from stress.device.core.shader_tokens import NotCarried
from stress.device.core.shader_translation import translate
from stress.model.shipped import shipped

KERNELS = "aten/src/ATen/native/mps/kernels"
"""In a tree: what it bundles."""
BUNDLES = {"metal_basic": 300, "metal_bfloat": 310}
"""Section that a tree looks for in its own library -> version of the language, as its build compiles it."""
FOLDER = "shaders"
RUNTIME_LINK = "runtime"
NOT_CARRIED_STATUS = 3
PROGRAM_SOURCE = "program_source"
"""What Metal's own compiler calls a text that has no file."""
_ERRORS_SHOWN = 24
_PREPROCESSING = (
    "-E",
    "-x",
    "c++",
    "-std=c++17",
    "-nostdinc",
    "-nostdinc++",
    "-undef",
    "-D__METAL__=1",
    "-D__METAL_MACOS__=1",
)
_FLAGS = (
    "-x",
    "c++",
    "-std=c++17",
    "-O1",
    "-g1",
    "-fPIC",
    "-shared",
    "-w",
    "-fdeclspec",  # Swizzles are properties.
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-math-errno",
    "-fno-strict-aliasing",
    "-fno-stack-protector",
    "-fno-omit-frame-pointer",
    "-fwrapv",
    "-fmax-type-align=8",  # A buffer may be bound at any offset: no load of a vector that traps.
    "-fvisibility=hidden",
    "-ffp-contract=off",
    # Each operation is rounded to its type, as a GPU does.
    "-Xclang",
    "-ffloat16-excess-precision=none",
    "-Xclang",
    "-fbfloat16-excess-precision=none",
    # Each access calls us: language/callbacks.h.
    "-fsanitize=kernel-address",
    *(
        argument
        for flag in (
            "asan-instrumentation-with-call-threshold=0",
            "asan-memory-access-callback-prefix=metal_",
            "asan-kernel-mem-intrinsic-prefix=1",
            "asan-stack=0",
            "asan-globals=0",
            "asan-opt=0",
        )
        for argument in ("-mllvm", f"-{flag}")
    ),
)
_LINK = ("-nostdlib++", "-lm", "-Wl,-z,defs", "-Wl,-Bsymbolic")
_NOISE = re.compile(r"^\s*(?:\d* \||\||In file included from|.*: note: )")


class ShaderError(MetalSourceError):
    """The compiler refuses a Metal text; the message is the compiler's, with the text's lines."""


def compile_text(
    text: str,
    target: Path,
    clangxx: Path,
    version: int,
    *,
    name: str = PROGRAM_SOURCE,
    includes: Sequence[Path] = (),
) -> tuple[str, ...]:
    """Make the library `target` of a Metal text, whole or not at all, and return the names of its kernels.

    `version` is the language's, as in 310; `name` is what errors call the text. Raise `ShaderError`, or `NotCarried`.
    """
    folder = shipped("harness", "metal_shaders")
    translated = translate(
        _preprocess(f'# 1 "{name}"\n{text}', clangxx, version, [folder / "include", *includes])
    )
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        _run(
            [str(clangxx), *_FLAGS, "-I", str(folder / "language"), "-", "-o", str(part), *_LINK],
            translated.text,
        )
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return translated.names


def compile_file(source: Path, target: Path, clangxx: Path, version: int) -> tuple[str, ...]:
    """Make the library `target` of a `.metal` file, as `compile_text` does."""
    text = source.read_text(encoding="utf-8")
    return compile_text(text, target, clangxx, version, name=source.name, includes=[source.parent])


def bundled(
    tree: Path, output: Path, toolchain: Toolchain, kept: objects.ObjectCache
) -> dict[str, Callable[[], None]]:
    """Return what compiles all of the tree's `.metal` files into `output/shaders`, by name, each section that a tree looks for.

    Each raises as `compile_text` does.
    """
    digest = _digest(toolchain)

    def compile_one(section: str, source: Path) -> None:
        target, version = output / FOLDER / section / f"{source.stem}.so", BUNDLES[section]
        key = cache.digest([digest, str(version), source.name, source.read_text(encoding="utf-8")])
        if not kept.take(key, target):
            try:
                compile_file(source, target, toolchain.clangxx, version)
            except MetalSourceError as error:
                error.source = source.relative_to(tree).as_posix()
                raise
            kept.keep(key, target)

    for section in BUNDLES:
        (output / FOLDER / section).mkdir(parents=True)
    return {
        f"{section}/{source.name}": partial(compile_one, section, source)
        for section, source in itertools.product(BUNDLES, sorted((tree / KERNELS).glob("*.metal")))
    }


def link_runtime(output: Path, toolchain: Toolchain) -> None:
    """Put the link by which a process finds the compiler into `output/shaders`."""
    (output / FOLDER / RUNTIME_LINK).symlink_to(runtime_folder(toolchain))


def runtime_folder(toolchain: Toolchain) -> Path:
    """Return the folder for texts that processes compile, with the scripts that they call; make it if need be."""
    digest = cache.key([_digest(toolchain), sys.executable, str(_root())])
    folder = cache.cache_folder() / f"shaders-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    # Without `site`: nothing of an environment is needed, and it takes a third of the time.
    compiler = shlex.join([sys.executable, "-S", "-m", "stress.device.core.shaders"])
    _write_script(
        folder / "compile",
        f'PYTHONPATH={shlex.quote(str(_root()))} exec {compiler} "$@" {shlex.quote(str(toolchain.clangxx))}',
    )
    symbolizer = shlex.join([str(toolchain.symbolizer), "--functions=none"])
    _write_script(folder / "symbolize", f'exec {symbolizer} --obj="$1" "$2"')
    return folder


def _write_script(path: Path, command: str) -> None:
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(
        f"#!/bin/sh\n# Written by mps-stress; the simulated Metal calls it.\n{command}\n", encoding="utf-8"
    )
    part.chmod(0o755)
    part.replace(path)


def _root() -> Path:
    return Path(__file__).resolve().parents[3]


def _digest(toolchain: Toolchain) -> str:
    """Return what stands for all that makes a library of a text."""
    own = Path(__file__).parent
    return cache.digest(
        [
            toolchain.version,
            str(toolchain.clangxx),
            objects.headers_digest(shipped("harness", "metal_shaders")),
            *(cache.file_hash(path) for path in sorted(own.glob("shader*.py"))),
        ]
    )


def _preprocess(text: str, clangxx: Path, version: int, includes: Sequence[Path]) -> str:
    folders = [argument for one in includes for argument in ("-I", str(one))]
    return _run([str(clangxx), *_PREPROCESSING, f"-D__METAL_VERSION__={version}", *folders, "-"], text)


def _run(command: Sequence[str], text: str) -> str:
    """Run the compiler on a text, and return what it says on stdout; raise `ShaderError` with its errors."""
    done = subprocess.run(
        command,
        input=text.encode(),
        capture_output=True,
        check=False,
        env={**{name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}, "LC_ALL": "C"},
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").splitlines()
        lines = [one for one in said if not _NOISE.match(one)] or said or [f"exit status {done.returncode}"]
        raise ShaderError("\n".join(lines[:_ERRORS_SHOWN]))
    return done.stdout.decode(errors="replace")


def main(words: Sequence[str]) -> int:
    """Compile one text, as the simulated Metal asks for it: SOURCE TARGET VERSION CLANGXX."""
    source, target, version, clangxx = words
    try:
        compile_text(Path(source).read_text(encoding="utf-8"), Path(target), Path(clangxx), int(version))
    except NotCarried as error:
        print(error)
        return NOT_CARRIED_STATUS
    except MetalSourceError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
