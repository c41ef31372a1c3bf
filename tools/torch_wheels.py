"""Wheels of torch for macOS, downloaded as data: nothing of them is installed or run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path

from stress.device.cache import cache_folder

OLDEST = "2.9.1"
CI = "2.13.0"
NEWEST = "newest"
PLATFORMS = (
    "macosx_11_0_arm64",
    "macosx_12_0_arm64",
    "macosx_13_0_arm64",
    "macosx_14_0_arm64",
    "macosx_15_0_arm64",
)
LIBRARIES = ("libtorch_cpu.dylib", "libc10.dylib", "libtorch.dylib")
_PYTHON = "3.12"
_VERSION = re.compile(r"torch \((\S+)\)")


class WheelError(Exception):
    """A wheel cannot be had; the text says which, and what to do."""


def pip(*arguments: str) -> str:
    """Run pip and return what it printed; it shows its own errors. Raise `WheelError`."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise WheelError(
            f"pip {arguments[0]} {arguments[-1]} failed (above): is there a network, and is the package index in reach?"
        )
    return done.stdout


def for_macos(platforms: Sequence[str] = PLATFORMS) -> list[str]:
    """Return pip's options for a wheel of another system than this one."""
    return [
        "--only-binary=:all:",
        f"--python-version={_PYTHON}",
        *(f"--platform={one}" for one in platforms),
    ]


def newest_version() -> str:
    """Return the newest release of torch that has a wheel for macOS on the index."""
    found = _VERSION.match(pip("index", "versions", *for_macos(), "torch"))
    if found is None:
        raise WheelError("pip did not list torch's versions: name them on the command line")
    return found[1]


def headers(version: str) -> Path:
    """Return the include folder of one release, downloaded if need be."""
    folder = cache_folder() / "headers" / f"torch-{version}"

    def unpack(wheel: zipfile.ZipFile, work: Path) -> None:
        wheel.extractall(work, [one for one in wheel.namelist() if one.startswith("torch/include/")])

    _once(folder, f"torch=={version}", for_macos(), unpack)
    return folder / "torch" / "include"


def exports(version: str, nm: Path) -> frozenset[str]:
    """Return every symbol that the release's libraries for macOS export, as `nm` names them."""
    folder = cache_folder() / "macos" / f"exports-{version}"

    def unpack(wheel: zipfile.ZipFile, work: Path) -> None:
        for name in LIBRARIES:
            library = Path(wheel.extract(f"torch/lib/{name}", work))
            with (work / f"{name}.txt").open("wb") as target:
                # "no symbols" of some members is printed on stderr.
                subprocess.run(
                    [nm, "--defined-only", "--extern-only", "--format=just-symbols", library],
                    stdout=target,
                    stderr=subprocess.DEVNULL,
                    check=True,
                )
        shutil.rmtree(work / "torch")  # Hundreds of megabytes.

    _once(folder, f"torch=={version}", for_macos(), unpack)
    return frozenset(
        symbol
        for name in LIBRARIES
        for symbol in (folder / f"{name}.txt").read_text(encoding="utf-8").split()
    )


def package(name: str, unpack: Callable[[zipfile.ZipFile, Path], None]) -> Path:
    """Return the folder with what `unpack` takes of a package's newest wheel for this system."""
    folder = cache_folder() / "macos" / name
    _once(folder, name, ["--only-binary=:all:"], unpack)
    return folder


def _once(
    folder: Path, requirement: str, options: Sequence[str], unpack: Callable[[zipfile.ZipFile, Path], None]
) -> None:
    """Download a wheel and keep what `unpack` puts into a folder; half a folder is never left."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        print(f"downloading {requirement} into {folder}", file=sys.stderr, flush=True)
        pip("download", "--quiet", "--no-deps", *options, f"--dest={work}", requirement)
        (path,) = work.glob("*.whl")
        (work / "unpacked").mkdir()
        with zipfile.ZipFile(path) as wheel:
            unpack(wheel, work / "unpacked")
        shutil.move(work / "unpacked", folder)
