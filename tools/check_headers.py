#!/usr/bin/env python3
"""Compile the simulated device's torch glue against the headers of several torch releases, without installing them.

    tools/check_headers.py [VERSION ...]          # default: the oldest supported, the one of CI, the newest on the index

Takes the wheels for macOS (the smallest; their headers are the same), keeps their `include` folder in the build cache,
and lets the compiler check all of `harness/torch` with either dispatch key. One line per release.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stress.device.sim.toolchain import find_compiler  # noqa: E402
from tools import torch_wheels  # noqa: E402

KEYS = {"mps": (), "privateuseone": ("-DMPS_SIM_PRIVATEUSE1",)}
_LINES_SHOWN = 15


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
    default = [torch_wheels.OLDEST, torch_wheels.CI, torch_wheels.NEWEST]
    parser.add_argument("versions", nargs="*", metavar="VERSION", default=default)
    try:
        return _check(parser.parse_args().versions)
    except torch_wheels.WheelError as error:
        print(f"check_headers: {error}", file=sys.stderr)
        return 2


def _check(versions: Sequence[str]) -> int:
    failed = False
    for given in versions:
        version = torch_wheels.newest_version() if given == torch_wheels.NEWEST else given
        include = torch_wheels.headers(version)
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
