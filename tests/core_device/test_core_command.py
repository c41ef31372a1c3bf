"""`mps-stress core build` as a user meets it: what it says of a tree, and one sentence for each that it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stress.commands import cli
from stress.device import cache
from stress.device.clang import CLANG_VARIABLE
from stress.device.core.compile import Built
from stress.device.core.compiler_output import CompileFailed
from stress.device.torch_installation import find_torch
from tests.core_device.trees import STREAM
from tests.core_device.trees import committed_tree
from tests.core_device.trees import run_git
from tests.core_device.trees import small_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a core is for Linux")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def version() -> str:
    """Return a version that the installed torch agrees with."""
    return ".".join(find_torch().version.split(".")[:2]) + ".0a0"


def refused(tree: Path | str, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what stands on stderr."""
    assert cli.main(["core", "build", f"--pytorch={tree}", *arguments]) == 2
    return capsys.readouterr().err


class TestRefused:
    def test_no_tree(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert (
            refused(tmp_path / "no", capsys) == f"mps-stress core: --pytorch={tmp_path}/no: no such folder\n"
        )

    def test_another_version(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        said = refused(small_tree(tmp_path / "tree", "1.13.1"), capsys)
        assert "this is PyTorch 1.13.1, and the installed torch is" in said
        assert "install torch==1.13.* into this environment" in said

    def test_half_applied(self, tmp_path: Path, version: str, capsys: pytest.CaptureFixture[str]) -> None:
        root = small_tree(tmp_path / "tree", version)
        (root / f"{STREAM}.rej").write_text("@@\n")
        said = refused(root, capsys)
        assert "half-applied: MPSStream.mm.rej (rejected hunks): finish it or undo it; with --force" in said

    def test_a_compiler_that_is_too_old(
        self,
        tmp_path: Path,
        version: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        clang = tmp_path / "clang++"
        clang.write_text("#!/bin/sh\necho 'Debian clang version 14.0.6'\necho 'libraries: =/nowhere'\n")
        clang.chmod(0o755)
        monkeypatch.setenv(CLANG_VARIABLE, str(clang))
        said = refused(small_tree(tmp_path / "tree", version), capsys)
        assert (
            f"a core needs clang 18 or newer with its runtime and a symbolizer: {clang} is Debian clang version 14.0.6"
            in said
        )

    def test_a_source_that_does_not_compile(
        self,
        tmp_path: Path,
        version: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def build(*_: object, **__: object) -> Built:
            raise CompileFailed(
                STREAM, "MPSStream.mm:7: error: no\nmore\n", "MPSStream.mm:7: error: no", None
            )

        monkeypatch.setattr("stress.device.core.compile.build", build)
        said = refused(small_tree(tmp_path / "tree", version), capsys).splitlines()
        assert f"{STREAM} does not compile" in said[-3]
        assert said[-2] == "MPSStream.mm:7: error: no"


def test_says_what_is_taken_and_how_long_it_took(
    tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = committed_tree(tmp_path / "tree", version)
    head = run_git(root, "rev-parse", "--short=7", "HEAD")

    def build(tree: Path, output: Path, **_: object) -> Built:
        (output / "libcore.so").write_text("")
        driver = output / "driver"
        driver.write_text("#!/bin/sh\n")
        driver.chmod(0o755)
        return Built(output / "libcore.so", None, driver, (STREAM, "torch/csrc/mps/Module.cpp"), 1.0, {}, ())

    monkeypatch.setattr("stress.device.core.compile.build", build)
    assert cli.main(["core", "build", f"--pytorch={root}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"tree       ATen/mps of {root} at {head}, unmodified"
    assert lines[1].startswith(f"torch      {find_torch().version} in ")
    assert "sources    2: 1 of ATen/mps, 1 of torch/csrc/mps" in lines
    assert any(line.startswith("built      in ") for line in lines)
    assert lines[-1] == (
        f"device     core (ATen/mps of {root} at {head}, unmodified, on simulated Metal; "
        "kernels are torch's CPU kernels)"
    )
    assert cli.main(["core", "build", f"--pytorch={root}"]) == 0
    assert "built      before (the same content): " in capsys.readouterr().out
