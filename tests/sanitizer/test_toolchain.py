"""Finding clang: complete or not at all, with a text that says what to install."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stress.device.clang import CLANG_VARIABLE
from stress.device.clang import Toolchain
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shell scripts stand in for Linux' clang")
MACHINE = "x86_64"


class FakeClang:
    """A script that answers as clang does, beside folders with what a test leaves there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "bin" / "clang++-19"
        self.resources = folder / "lib" / "clang" / "19"
        (folder / "bin").mkdir(parents=True)
        self.answer("Debian clang version 19.1.7 (3~deb12u1)")
        for tool in ("llvm-symbolizer", "llvm-nm"):
            self.program(tool)
        self.file(self.resources / "lib" / "linux" / f"libclang_rt.tsan-{MACHINE}.so")
        self.file(folder / "gcc" / "include" / "objc" / "objc.h")
        self.file(folder / "gcc" / "libobjc.so")
        self.file(folder / "gcc" / "libBlocksRuntime.a")

    def answer(self, version: str) -> None:
        text = (
            f"{version}\\nInstalledDir: {self.folder}/bin\\nprograms: =/x\\n"
            f"libraries: ={self.resources}:{self.folder}/gcc\\n"
        )
        self.path.write_text(f"#!/bin/sh\nprintf '{text}'\n")
        self.path.chmod(0o755)

    def program(self, name: str) -> None:
        path = self.folder / "bin" / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)

    def file(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")

    def remove(self, *parts: str) -> None:
        self.folder.joinpath(*parts).unlink()


@pytest.fixture
def clang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeClang:
    fake = FakeClang(tmp_path / "llvm")
    monkeypatch.setenv("PATH", str(fake.path.parent))
    monkeypatch.delenv(CLANG_VARIABLE, raising=False)
    monkeypatch.setattr("platform.machine", lambda: MACHINE)
    return fake


class TestWhole:
    def test_names_every_part(self, clang: FakeClang) -> None:
        found = find_toolchain()
        assert found.clangxx == clang.path
        assert found.version == "Debian clang version 19.1.7 (3~deb12u1)"
        assert found.runtime_library.name == f"libclang_rt.tsan-{MACHINE}.so"
        assert found.symbolizer == clang.folder / "bin" / "llvm-symbolizer"
        assert found.objective_c_headers == clang.folder / "gcc" / "include"
        assert not found.is_apple

    def test_the_layout_of_other_builds_of_clang(self, clang: FakeClang) -> None:
        clang.remove("lib", "clang", "19", "lib", "linux", f"libclang_rt.tsan-{MACHINE}.so")
        other = clang.resources / "lib" / f"{MACHINE}-unknown-linux-gnu" / "libclang_rt.tsan.so"
        clang.file(other)
        assert find_toolchain().runtime_library == other

    def test_one_that_is_whole_is_taken_before_one_that_is_not(self, clang: FakeClang) -> None:
        newer = clang.path.with_name("clang++-18")
        clang.path.rename(newer)
        clang.path.write_text("#!/bin/sh\nexit 1\n")
        clang.path.chmod(0o755)
        assert find_toolchain().clangxx == newer

    def test_the_real_one_of_this_machine(self, toolchain: Toolchain) -> None:
        for path in (toolchain.clangxx, toolchain.runtime_library, toolchain.symbolizer, toolchain.nm):
            assert path.is_file()


class TestIncomplete:
    @pytest.mark.parametrize(
        ("gone", "text"),
        [
            (
                ("bin", "llvm-symbolizer"),
                "has no symbolizer beside it, so no report could name a function",
            ),
            (("bin", "llvm-nm"), "nm is missing, which counts what is instrumented"),
            (
                ("lib", "clang", "19", "lib", "linux", f"libclang_rt.tsan-{MACHINE}.so"),
                "has no ThreadSanitizer runtime",
            ),
            (("gcc", "include", "objc", "objc.h"), "finds no Objective-C headers (libobjc-12-dev)"),
            (("gcc", "libBlocksRuntime.a"), "finds no libBlocksRuntime (libblocksruntime-dev)"),
        ],
    )
    def test_says_what_is_missing(self, clang: FakeClang, gone: tuple[str, ...], text: str) -> None:
        clang.remove(*gone)
        with pytest.raises(ToolchainError) as caught:
            find_toolchain()
        assert text in str(caught.value)
        assert "Install" in str(caught.value)

    def test_none_at_all(self, clang: FakeClang) -> None:
        clang.remove("bin", "clang++-19")
        with pytest.raises(ToolchainError, match=r"no clang\+\+ was found on PATH\. Install"):
            find_toolchain()

    def test_debian_is_told_the_packages(self, clang: FakeClang) -> None:
        clang.remove("bin", "clang++-19")
        clang.program("apt-get")
        with pytest.raises(
            ToolchainError, match="apt-get install clang-19 libclang-rt-19-dev llvm-19 libblocksruntime-dev"
        ):
            find_toolchain()

    def test_too_old(self, clang: FakeClang) -> None:
        clang.answer("Debian clang version 14.0.6")
        with pytest.raises(ToolchainError, match=r"needs clang 18 or newer .* is Debian clang version 14"):
            find_toolchain()

    def test_no_clang_at_all(self, clang: FakeClang) -> None:
        clang.answer("g++ (Debian 12.2.0-14) 12.2.0")
        with pytest.raises(ToolchainError, match="is not a clang"):
            find_toolchain()

    def test_a_variable_that_names_nothing(self, clang: FakeClang, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(CLANG_VARIABLE, "no-such-program")
        with pytest.raises(
            ToolchainError, match=f"{CLANG_VARIABLE}=no-such-program names no program: unset it"
        ):
            find_toolchain()
