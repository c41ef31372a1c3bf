"""An environment of its own with everything that is installed here, except mps-stress; and its wheel, put into one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = re.compile(r"mps[-_]stress", re.IGNORECASE)
NOT_NEEDED = ("numpy", "scipy", "pytest_run_parallel")
"""What neither torch nor the package depends on, although tests here use it."""
CONSOLE_SCRIPT = "import sys\nimport pytest\nsys.exit(pytest.main())\n"


def installed_here() -> list[Path]:
    """Return what lies in this interpreter's site-packages, except this project."""
    folders = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    return [
        one
        for folder in folders
        for one in folder.iterdir()
        if not OURS.search(one.name) and one.name not in ("stress", "__pycache__")
    ]


def site_of(folder: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)}))


def make_environment(folder: Path, without: Sequence[str] = ()) -> Path:
    """Make an environment whose packages are links to those that are installed here; return its interpreter.

    `without`: names that what is left out begins with.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    for one in installed_here():
        if not one.name.startswith(tuple(without)):
            (site_of(folder) / one.name).symlink_to(one)
    python, script = folder / "bin" / "python", folder / "bin" / "pytest"
    # What pip writes there; unlike with `python -m pytest` the current folder is not on sys.path.
    script.write_text(f"#!{python}\n{CONSOLE_SCRIPT}")
    script.chmod(0o755)
    return python


def build_wheel(source: Path, folder: Path) -> Path:
    """Build the wheel of a source tree, or of an sdist, into `folder`."""
    _pip("wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(source))
    (path,) = folder.glob("*.whl")
    return path


def build_sdist(folder: Path) -> Path:
    """Build the sdist of this checkout into `folder`, as a build front end does."""
    code = "import sys; from hatchling.build import build_sdist; build_sdist(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.tar.gz")
    return path


def install(python: Path, wheel: Path) -> None:
    """Install a wheel into an environment, with nothing that it depends on."""
    _pip("--python", str(python), "install", "--no-deps", "--no-index", "--no-compile", str(wheel))


def _pip(*args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *args],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    if "No module named 'hatchling'" in done.stderr or "No module named pip" in done.stderr:
        pytest.skip("pip and hatchling are needed to build the wheel")
    assert done.returncode == 0, done.stderr


def run(
    folder: Path, *command: str | Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does, in `folder` and without anything of this checkout in its environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TESTS_"))}
    done = subprocess.run(
        [str(one) for one in command],
        cwd=folder,
        env={**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider", **(env or {})},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=800,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    print(f"$ {' '.join(map(str, command))}", done.stdout, done.stderr, sep="\n")
    return done
