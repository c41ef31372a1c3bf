"""What is compiled again, and what is found: units, precompiled headers, and sources that do not compile.

The compiler is a script here that notes what it is asked for; `test_compile.py` has the real one.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stress.device.clang import Toolchain
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.device.core import objects
from stress.device.core import precompiled
from stress.device.core import sources
from stress.device.core.compiler_output import CompileFailed
from stress.device.core.sources import CoreSource
from stress.device.core.units import UnitCompiler
from stress.device.torch_installation import find_torch
from tests.core_device.trees import STREAM
from tests.core_device.trees import small_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a core is for Linux")
HEADER = "aten/src/ATen/mps/MPSStream.h"
OPERATOR = "aten/src/ATen/native/mps/operations/Equal.cpp"
LAYER = "simulated_metal/blocks.mm"
ASKED = "asked.txt"
COMPILER = """\
#!/bin/sh
"exec" "{python}" "-S" "$0" "$@"
import signal, sys
from pathlib import Path
words = sys.argv[1:]
if "-fsyntax-only" in words:
    sys.exit(Path(words[words.index("-include-pch") + 1]).read_text() == "stale")
made = Path(words[words.index("-o") + 1])
with Path({asked!r}).open("a") as file:
    file.write(made.name + "\\n")
source = words[words.index("-c") + 1] if "-c" in words else words[-3]
text = Path(source).read_text()
if "#error" in text:
    print(source + ":1:2: error: no such header")
    sys.exit(1)
if "#full" in text:
    print("fatal error: error in backend: No space left on device: error: it")
    sys.exit(1)
if "#killed" in text:
    sys.exit(254)
made.write_text(text)
"""


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    try:
        found = find_toolchain()
    except ToolchainError as error:
        pytest.skip(str(error))
    script = tmp_path / "clang++"
    script.write_text(COMPILER.format(python=sys.executable, asked=str(tmp_path / ASKED)))
    script.chmod(0o755)
    return replace(found, clangxx=script)


class Builds:
    """Builds of one tree after another, with one cache."""

    def __init__(self, folder: Path, toolchain: Toolchain) -> None:
        self.folder = folder
        self.tree = small_tree(folder / "tree")
        (self.tree / OPERATOR).parent.mkdir(parents=True)
        (self.tree / OPERATOR).write_text("int equal;\n")
        self._toolchain = toolchain
        self._count = 0

    def units(self) -> UnitCompiler:
        self._count += 1
        output = self.folder / f"output-{self._count}"
        for name in ("objects", "logs"):
            (output / name).mkdir(parents=True)
        sources.link_headers(self.tree, output / "headers")
        kept = objects.ObjectCache(self.folder / "kept")
        return UnitCompiler(self.tree, output, None, find_torch(), self._toolchain, kept, None)

    def compiled(self, *names: str) -> list[str]:
        """Compile these in a new build, and return what the compiler was asked for."""
        units = self.units()
        for name in names:
            path = units.harness / name if (units.harness / name).exists() else self.tree / name
            source = CoreSource(path, name, is_of_tree=path.is_relative_to(self.tree))
            if not units.find(source, instrumented=True):
                units.compile(source, instrumented=True)
        return self.asked()

    def tried(self) -> CompileFailed | None:
        return self.units().try_operator(CoreSource(self.tree / OPERATOR, OPERATOR, is_of_tree=True))

    def asked(self) -> list[str]:
        """Return what the compiler was asked for since the last call."""
        path = self.folder / ASKED
        names = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return names

    def edit(self, name: str, text: str) -> None:
        (self.tree / name).write_text(text)


@pytest.fixture
def builds(tmp_path: Path, toolchain: Toolchain) -> Builds:
    return Builds(tmp_path, toolchain)


ALL = ["precompiled_tree.part", "aten-src-ATen-mps-MPSStream.mm.o", "precompiled_layer.part", "simulated_metal-blocks.mm.o"]  # fmt: skip


class TestCompiled:
    def test_once_for_one_content_wherever_the_tree_and_the_build_lie(self, builds: Builds) -> None:
        assert builds.compiled(STREAM, LAYER) == ALL
        assert builds.compiled(STREAM, LAYER) == []
        builds.tree = builds.tree.rename(builds.folder / "another")
        assert builds.compiled(STREAM, LAYER) == []

    def test_alone_where_its_source_was_edited(self, builds: Builds) -> None:
        builds.compiled(STREAM, LAYER)
        builds.edit(STREAM, "int edited;\n")
        assert builds.compiled(STREAM, LAYER) == ["aten-src-ATen-mps-MPSStream.mm.o"]

    def test_again_with_its_precompiled_header_where_a_header_of_the_tree_changed(
        self, builds: Builds
    ) -> None:
        builds.compiled(STREAM, LAYER)
        before = (builds.tree / HEADER).read_text()
        builds.edit(HEADER, f"{before}// changed\n")
        assert builds.compiled(STREAM, LAYER) == ALL[:2]
        builds.edit(HEADER, before)
        assert builds.compiled(STREAM, LAYER) == []

    def test_with_a_precompiled_header_that_is_another_for_another_torch(self, builds: Builds) -> None:
        units = builds.units()
        units.require_precompiled(precompiled.OF_TREE)
        newer = replace(builds.units(), torch=replace(units.torch, git="another"))
        newer.require_precompiled(precompiled.OF_TREE)
        assert builds.asked() == ["precompiled_tree.part"] * 2

    def test_with_a_precompiled_header_that_is_made_again_where_it_cannot_be_used(
        self, builds: Builds
    ) -> None:
        builds.compiled(STREAM)
        (kept,) = (builds.folder / "kept").glob("*.pch")
        kept.write_text("stale")
        builds.edit(STREAM, "int edited;\n")
        assert builds.compiled(STREAM) == ALL[:2]


def test_a_precompiled_header_serves_a_copy_of_the_tree_with_the_real_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        toolchain = find_toolchain()
    except ToolchainError as error:
        pytest.skip(str(error))
    adapter = tmp_path / "harness" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "precompiled.h").write_text("#include <ATen/mps/MPSStream.h>\n")
    monkeypatch.setattr("stress.device.core.units.shipped", lambda name: tmp_path / name)
    builds = Builds(tmp_path, toolchain)
    builds.edit(HEADER, "#pragma once\nstruct Stream {};\n")
    builds.edit(STREAM, "#include <ATen/mps/MPSStream.h>\nStream one;\n")
    builds.compiled(STREAM)
    # A copy has other times, by which clang tells files apart where it may.
    builds.tree = shutil.copytree(builds.tree, tmp_path / "copy")
    os.utime(builds.tree / HEADER, (0, 0))
    builds.edit(STREAM, "#include <ATen/mps/MPSStream.h>\nStream edited;\n")
    builds.compiled(STREAM)
    assert len(list((tmp_path / "kept").glob("*.pch"))) == 1
    builds.edit(HEADER, "#pragma once\nstruct Strean {};\n")
    with pytest.raises(CompileFailed, match="unknown type name 'Stream'"):
        builds.compiled(STREAM)


class TestDoesNotCompile:
    def test_is_kept_and_not_tried_again(self, builds: Builds) -> None:
        builds.edit(OPERATOR, "#error\n")
        first = builds.tried()
        assert builds.asked() == ["precompiled_tree.part", f"{OPERATOR.replace('/', '-')}.o"]
        again = builds.tried()
        assert builds.asked() == []
        assert first is not None
        assert again is not None
        assert first.first_error_line == again.first_error_line == f"{OPERATOR}:1:2: error: no such header"

    @pytest.mark.parametrize("changed", [OPERATOR, HEADER], ids=["source", "header"])
    def test_is_tried_again_in_a_tree_that_changed(self, builds: Builds, changed: str) -> None:
        builds.edit(OPERATOR, "#error\n")
        builds.tried()
        builds.asked()
        builds.edit(changed, f"{(builds.tree / changed).read_text()}// changed\n")
        assert builds.tried() is not None
        assert builds.asked()[-1] == f"{OPERATOR.replace('/', '-')}.o"
        builds.edit(OPERATOR, "int mended;\n")
        assert builds.tried() is None

    @pytest.mark.parametrize("why", ["#full", "#killed"])
    def test_is_not_kept_where_the_compiler_could_not_judge(self, builds: Builds, why: str) -> None:
        builds.edit(OPERATOR, f"{why}\n")
        assert builds.tried() is not None
        builds.asked()
        assert builds.tried() is not None
        assert builds.asked() == [f"{OPERATOR.replace('/', '-')}.o"]

    def test_a_precompiled_header_is_not_blamed_on_an_operator(
        self, builds: Builds, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        adapter = tmp_path / "harness" / "adapter"
        adapter.mkdir(parents=True)
        (adapter / "precompiled.h").write_text("#error\n")
        monkeypatch.setattr("stress.device.core.units.shipped", lambda name: tmp_path / name)
        with pytest.raises(CompileFailed) as caught:
            builds.tried()
        assert caught.value.source == "precompiled.h"
