#!/usr/bin/env python3
"""Compile the simulated device's torch glue against the headers of several torch releases, without installing them.

    tools/check_headers.py [VERSION ...]          # default: the oldest supported, the one of CI, the newest on the index

Takes the wheels for macOS (the smallest; their headers are the same), keeps their `include` folder in the build cache,
and lets the compiler check all of `harness/torch` with either dispatch key. One line per release.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stress.sim.cache import cache_folder  # noqa: E402
from stress.sim.toolchain import find_compiler  # noqa: E402

OLDEST = "2.9.1"
CI = "2.13.0"
NEWEST = "newest"
KEYS = {"mps": (), "privateuseone": ("-DMPS_SIM_PRIVATEUSE1",)}
_PLATFORMS = (
    "macosx_11_0_arm64",
    "macosx_12_0_arm64",
    "macosx_13_0_arm64",
    "macosx_14_0_arm64",
    "macosx_15_0_arm64",
)
_PYTHON = "3.12"
_LINES_SHOWN = 15


def pip(*arguments: str) -> str:
    """Run pip and return what it printed; it shows its own errors."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def newest_version() -> str:
    """Return the newest release of torch on the index."""
    found = re.match(r"torch \((\S+)\)", pip("index", "versions", "torch"))
    if found is None:
        raise RuntimeError("pip did not tell torch's versions: name them on the command line")
    return found[1]


def headers(version: str) -> Path:
    """Return the include folder of one release, downloaded if need be."""
    folder = cache_folder() / "headers" / f"torch-{version}"
    if folder.is_dir():
        return folder / "torch" / "include"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        platforms = [f"--platform={one}" for one in _PLATFORMS]
        pip(
            "download", "--quiet", "--no-deps", "--only-binary=:all:", f"--python-version={_PYTHON}", *platforms,
            f"--dest={work}", f"torch=={version}",
        )  # fmt: skip
        (wheel,) = work.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            wanted = [one for one in archive.namelist() if one.startswith("torch/include/")]
            archive.extractall(work / "unpacked", wanted)
        shutil.move(work / "unpacked", folder)
    return folder / "torch" / "include"


def compile_errors(include: Path, key: str) -> str:
    """Return what the compiler says about the glue with these headers and this dispatch key; empty if all is well."""
    files = sorted((ROOT / "harness" / "torch").glob("*.cpp"))
    # One translation unit: the headers are what takes the time.
    source = "".join(f'#include "{path}"\n' for path in files)
    command = [
        *find_compiler().command, "-std=c++20", "-fsyntax-only", *KEYS[key], f"-I{include}",
        f"-I{include / 'torch' / 'csrc' / 'api' / 'include'}", "-iquote", str(ROOT / "harness"), "-x", "c++", "-",
    ]  # fmt: skip
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    errors = [line for line in done.stderr.splitlines() if "error:" in line] or done.stderr.splitlines()
    return "\n".join(errors[:_LINES_SHOWN])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("versions", nargs="*", metavar="VERSION", default=[OLDEST, CI, NEWEST])
    failed = False
    for given in parser.parse_args().versions:
        version = newest_version() if given == NEWEST else given
        include = headers(version)
        outcomes = {key: compile_errors(include, key) for key in KEYS}
        print(
            f"torch {version}: "
            + ", ".join(f"{key} {'FAILS' if text else 'ok'}" for key, text in outcomes.items())
        )
        for text in filter(None, outcomes.values()):
            print(text)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
