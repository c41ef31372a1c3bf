"""The small tree, really compiled over the simulated Metal and linked to the installed torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.device.core import compile as compiler
from stress.device.core.compile import Built
from stress.device.core.compiler_output import CompileFailed
from stress.device.torch_installation import find_torch
from tests.core_device.trees import STREAM
from tests.core_device.trees import small_tree

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="a core is for Linux"),
]
TIMEOUT_S = 800.0
USE = """
import ctypes, sys, torch
assert not torch._C._mps_is_available()
ctypes.CDLL(sys.argv[1])
torch._C._mps_deviceSynchronize()
print(torch._C._mps_is_available())
"""


def build(tree: Path, output: Path) -> Built:
    try:
        find_toolchain()
    except ToolchainError as error:
        pytest.skip(str(error))
    output.mkdir()
    return compiler.build(tree, output, sanitizer=None, torch=find_torch(), progress=lambda step, done: None)


def test_the_installed_torch_sees_the_trees_backend(tmp_path: Path) -> None:
    built = build(small_tree(tmp_path / "tree"), tmp_path / "output")
    assert (built.python_module, built.driver) == (None, None)
    assert set(built.sources) == {f"aten/src/ATen/mps/MPS{name}.mm" for name in ("Device", "Hooks", "Stream")}
    # libtorch calls hasMPS by its place in its own interface, where the tree's has another function.
    done = subprocess.run(
        [sys.executable, "-c", USE, str(built.library)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.stdout == "True\n", done.stderr


def test_a_source_that_does_not_compile_is_named_with_its_line(tmp_path: Path) -> None:
    root = small_tree(tmp_path / "tree")
    text = (root / STREAM).read_text()
    (root / STREAM).write_text(text.replace("[current() commit];", "[current() commit]"))
    line = text[: text.index("[current() commit];")].count("\n") + 1
    with pytest.raises(CompileFailed) as caught:
        build(root, tmp_path / "output")
    assert caught.value.source == STREAM
    assert f"MPSStream.mm:{line}:" in caught.value.first_error_line
    assert caught.value.missing_name is None


@pytest.mark.parametrize(
    ("use", "missing"),
    [
        ("MTLRasterizationRateMap* map;", "MTLRasterizationRateMap"),
        ("#include <Metal/MTLNew.h>", "Metal/MTLNew.h"),
    ],
)
def test_a_name_that_the_layer_lacks_is_named(tmp_path: Path, use: str, missing: str) -> None:
    root = small_tree(tmp_path / "tree")
    with (root / STREAM).open("a") as file:
        file.write(f"{use}\n")
    with pytest.raises(CompileFailed) as caught:
        build(root, tmp_path / "output")
    assert caught.value.missing_name == missing
