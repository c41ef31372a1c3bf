"""One wheel and one environment for all files here, also where several workers run them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from tests.installed import environment


def _once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that the first worker fills, and the others wait for."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / f"installed-{name}", shared / f"installed-{name}.done"
    with FileLock(f"{folder}.lock"):
        if not done.exists():
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this checkout."""
    folder = _once(
        tmp_path_factory, "wheel", lambda folder: environment.build_wheel(environment.ROOT, folder)
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def bin_folder(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """Return the `bin` of an environment with the wheel: as after `pip install torch` and the wheel, so without numpy."""

    def make(folder: Path) -> None:
        python = environment.make_environment(folder / "venv", without=environment.NOT_NEEDED)
        environment.install(python, wheel)

    return _once(tmp_path_factory, "environment", make) / "venv" / "bin"
