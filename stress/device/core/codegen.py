"""Registrations of a tree's own operators, as an MPS build of PyTorch generates them.

Which operators there are, and with which arguments, is libtorch's: the installed torch's native_functions.yaml. Which
function serves one on MPS is the tree's. So torch's own generator (torchgen, a part of its wheel) reads the installed
torch's list with the tree's entries for MPS in it. Where both are of one version, that is the tree's own list.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.device import cache
from stress.device.core.tree import NATIVE_FUNCTIONS
from stress.model.errors import BuildError

REGISTRATIONS = "RegisterMPS.cpp"
_WRITTEN = (REGISTRATIONS, "RegisterMPSEverything.cpp")
"""Newer generators write parts that are numbered, and this one with all of it."""
HEADERS = "headers.txt"
"""Main file of a folder with generated headers: their names, one a line."""
_ENTRY = re.compile(r"^- func: ", re.MULTILINE)
_DISPATCH = re.compile(r"^  dispatch:[^\n]*\n(?P<lines>(?:    [^\n]*\n|\s*\n)*)", re.MULTILINE)
_KERNEL = re.compile(r"^    (?P<keys>[\w, ]+): *(?P<function>\S+)", re.MULTILINE)
_SYMBOLIC = re.compile(r"\bSymInt\b")
_KEY = "MPS"
_COMPOSED = "CompositeImplicitAutograd"
"""Of operators that are composed of others: what an entry without a list means."""
_WANTED = ("_native.h", "_mps_dispatch.h")
"""Ends of the headers' names in which an MPS build differs from a build without."""
_TIMEOUT_S = 600.0
_FORMAT = "1"
"""Another one makes everything anew."""


@dataclass(frozen=True)
class NativeFunctions:
    """The installed torch's native_functions.yaml with the tree's kernels for MPS."""

    text: str
    kernels: Mapping[str, str]
    """Operator, as in "add.out" -> the tree's function."""
    unknown: tuple[str, ...]
    """Operators that the tree serves and that libtorch has not, or not with these arguments."""


def merge(torch_text: str, tree_text: str, left_out: Collection[str] = ()) -> NativeFunctions:
    """Return torch's list with the tree's functions for MPS instead of torch's, without the functions `left_out`."""
    wanted = {
        name: (signature, function)
        for name, signature, entry in _entries(tree_text)
        if (function := _kernel_of(entry)) is not None
    }
    kernels: dict[str, str] = {}
    start = _ENTRY.search(torch_text)
    parts = [torch_text[: start.start()] if start is not None else torch_text]
    for name, signature, entry in _entries(torch_text):
        theirs = wanted.get(name)
        if theirs is not None and theirs[0] == signature and theirs[1] not in left_out:
            kernels[name] = theirs[1]
        parts.append(_with_kernel(entry, kernels.get(name)))
    unknown = [name for name, one in wanted.items() if name not in kernels and one[1] not in left_out]
    return NativeFunctions("".join(parts), kernels, tuple(unknown))


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield an operator's name, its signature as C++ has it, and its whole entry."""
    places = [one.start() for one in _ENTRY.finditer(text)]
    for start, end in zip(places, [*places[1:], len(text)], strict=True):
        entry = text[start:end]
        schema = entry.partition("\n")[0].removeprefix("- func: ").strip()
        # A function whose name does not say that it takes symbolic numbers gets plain ones.
        yield schema.partition("(")[0], _SYMBOLIC.sub("int", schema), entry


def _kernel_of(entry: str) -> str | None:
    """Return the function that serves the operator on MPS."""
    block = _DISPATCH.search(entry)
    if block is None:
        return None
    for one in _KERNEL.finditer(block["lines"]):
        if _KEY in _keys(one["keys"]):
            return one["function"]
    return None


def _with_kernel(entry: str, function: str | None) -> str:
    """Return the entry with this function for MPS, or with none."""
    block = _DISPATCH.search(entry)
    if block is None:
        if function is None:
            return entry
        # An operator without a list is composed of others; with one it is so only where the list says so.
        line, _, rest = entry.partition("\n")
        composed = f"    {_COMPOSED}: {_default_function(entry)}\n"
        return f"{line}\n  dispatch:\n{composed}    {_KEY}: {function}\n{rest}"
    if function is None and _kernel_of(entry) is None:
        return entry
    lines = [_without_key(line) for line in block["lines"].splitlines(keepends=True)]
    if function is not None:
        lines.insert(0, f"    {_KEY}: {function}\n")
    kept = "".join(lines)
    # torchgen refuses a list that is empty, or that says no more than none would.
    left = {one["keys"]: one["function"] for one in _KERNEL.finditer(kept)}
    if not left or left == {_COMPOSED: _default_function(entry)}:
        return entry[: block.start()] + entry[block.end() :]
    return entry[: block.start("lines")] + kept + entry[block.end() :]


def _default_function(entry: str) -> str:
    """Return the name of the function that composes an operator whose entry names none."""
    schema = entry.partition("\n")[0].removeprefix("- func: ")
    return schema.partition("(")[0].partition(".")[0] + ("_out" if "(a!) out)" in schema else "")


def _without_key(line: str) -> str:
    found = _KERNEL.match(line)
    if found is None or _KEY not in _keys(found["keys"]):
        return line
    keys = [one for one in _keys(found["keys"]) if one != _KEY]
    return f"    {', '.join(keys)}: {found['function']}\n" if keys else ""


def _keys(text: str) -> list[str]:
    return [one.strip() for one in text.split(",")]


@dataclass(frozen=True)
class Generator:
    """Runs torchgen for one tree, and keeps what it writes in the cache by what it reads."""

    tree: Path
    torch_key: str
    """What stands for the installed torch."""
    cache: Path
    say: Callable[[str], None] = print

    def headers(self) -> Path:
        """Return the folder with the headers that an MPS build of torch has; to be included before torch's own."""
        merged = self._merged(())

        def make(work: Path) -> dict[str, Any]:
            _run(merged.text, work / "all", "headers")
            written = sorted((work / "all" / "ops").iterdir())
            names = [f"ATen/ops/{one.name}" for one in written if one.name.endswith(_WANTED)]
            (work / "ATen" / "ops").mkdir(parents=True)
            for name in names:
                os.replace(work / "all" / "ops" / Path(name).name, work / name)
            shutil.rmtree(work / "all")
            (work / HEADERS).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
            return {}

        return self._ensure("headers", HEADERS, merged, make)

    def registrations(self, left_out: Collection[str]) -> Path:
        """Return the source that registers the tree's operators, without the functions that are `left_out`."""
        merged = self._merged(left_out)

        def make(work: Path) -> dict[str, Any]:
            _run(merged.text, work / "all", "sources")
            written = next((one for name in _WRITTEN if (one := work / "all" / name).is_file()), None)
            if written is None:
                raise BuildError(f"torch's generator writes no {REGISTRATIONS}")
            os.replace(written, work / REGISTRATIONS)
            shutil.rmtree(work / "all")
            return {}

        return self._ensure("registrations", REGISTRATIONS, merged, make) / REGISTRATIONS

    def kernels(self) -> Mapping[str, str]:
        """Return every operator that the tree serves and libtorch has, with the tree's function."""
        return self._merged(()).kernels

    def _merged(self, left_out: Collection[str]) -> NativeFunctions:
        torch_text = (_packaged() / "native" / "native_functions.yaml").read_text(encoding="utf-8")
        return merge(torch_text, (self.tree / NATIVE_FUNCTIONS).read_text(encoding="utf-8"), left_out)

    def _ensure(
        self, what: str, main: str, merged: NativeFunctions, make: Callable[[Path], dict[str, Any]]
    ) -> Path:
        key = cache.key([self.torch_key, _FORMAT, merged.text])
        folder = self.cache / f"core-{what}-{key}"
        cache.ensure(
            folder, main, make, waiting=lambda: self.say(f"another process writes the {what}: waiting for it")
        )
        return folder


def require_torchgen() -> None:
    """Raise `BuildError` where torch's generator cannot run."""
    if importlib.util.find_spec("torchgen") is None:
        raise BuildError(
            "torchgen is missing, which generates the registrations of a tree's operators; torch's own wheels bring it: "
            "pip install torch"
        )
    if importlib.util.find_spec("yaml") is None:
        raise BuildError(
            "PyYAML is missing, which torch's generator of registrations reads its list with: pip install pyyaml, or "
            "take the CPU's kernels with --mps-core-operators=cpu (core build: --operators=cpu)"
        )


def _packaged() -> Path:
    """Return the folder of templates and lists that the wheel brings."""
    spec = importlib.util.find_spec("torchgen")
    assert spec is not None  # `require_torchgen` was called
    assert spec.origin is not None
    return Path(spec.origin).parent / "packaged" / "ATen"


def _run(functions: str, output: Path, what: str) -> None:
    """Run torchgen on this list; `what` is "headers" or "sources"."""
    packaged = _packaged()
    source = output / "source"
    (source / "native").mkdir(parents=True)
    (source / "native" / "native_functions.yaml").write_text(functions, encoding="utf-8")
    shutil.copyfile(packaged / "native" / "tags.yaml", source / "native" / "tags.yaml")
    (source / "templates").symlink_to(packaged / "templates")
    command = [
        sys.executable, "-m", "torchgen.gen", "-s", str(source), "--install_dir", str(output),
        "--mps", "--per-operator-headers", "--backend_whitelist", _KEY, "--generate", what,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command,
            cwd=output,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
            # Not "C": Python does not start where a path of its own, in an editable install's .pth file, is not ASCII.
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"torch's generator of registrations does not run ({error})") from error
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else f"exit status {done.returncode}"
        raise BuildError(f"torch's generator of registrations fails on this tree's list: {reason}")
