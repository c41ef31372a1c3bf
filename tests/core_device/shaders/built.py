"""The simulated Metal as a library for tests, built when it is first asked for, and the folder that the simulated Metal compiles in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stress.device.clang import Toolchain
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.device.core import shaders
from stress.sanitizer.native.build import NativeBuilder
from stress.sanitizer.native.recipe import Recipe

RECIPE = Path(__file__).parents[1] / "layer" / "layer.toml"
VARIABLE = "MPS_STRESS_SHADERS"


def toolchain() -> Toolchain:
    """Return the compiler, or skip the test where there is none, or a Mac's."""
    try:
        found = find_toolchain("the simulated Metal")
    except ToolchainError as error:
        pytest.skip(str(error))
    if found.is_apple:
        pytest.skip("a Mac has Metal itself")
    return found


def simulated_metal(*, tsan: bool = False) -> Path:
    """Return the library: the layer, and the functions in `layer/` and `shaders/` that drive it."""
    return NativeBuilder(Recipe.load(RECIPE), toolchain(), tsan=tsan).ensure(print).path


def use_runtime_folder() -> Path:
    """Return the folder in which texts are compiled, and tell this process of it."""
    folder = shaders.runtime_folder(toolchain())
    os.environ[VARIABLE] = str(folder)
    return folder
