"""Building: what is counted, what is kept, and what a failure says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stress.device.cache import run_compiler
from stress.device.clang import Toolchain
from stress.model.errors import BuildError
from stress.sanitizer.instrumentation import is_instrumented
from stress.sanitizer.instrumentation import libraries_of
from stress.sanitizer.instrumentation import names_in
from stress.sanitizer.native.build import NativeBuilder
from stress.sanitizer.native.build import Program
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.recipe import Recipe
from tests.sanitizer.conftest import SMALL


def test_every_unit_is_counted_in_its_object_and_in_the_program(small_program: Program) -> None:
    assert small_program.units == 3
    assert {one.name for one in small_program.files} >= {"controls.cpp", "counter.cpp", "main.cpp"}
    assert small_program.constructors == 3
    assert small_program.missing == ()


def test_libraries_are_known_with_whether_they_are_instrumented(
    small_program: Program, toolchain: Toolchain
) -> None:
    found = libraries_of(small_program.path, toolchain, {"PATH": ""})
    assert any("libc." in one.name or "libSystem" in one.name for one in found)
    assert not any(one.instrumented for one in found)


def test_a_library_in_a_folder_with_a_space_is_known(toolchain: Toolchain, tmp_path: Path) -> None:
    folder = tmp_path / "mps strëss"
    folder.mkdir()
    (folder / "one.cpp").write_text("int one() { return 1; }\n")
    (folder / "main.cpp").write_text("int one(); int main() { return one(); }\n")
    clang, library, program = str(toolchain.clangxx), folder / "libone.so", folder / "program"
    run_compiler([clang, "-shared", "-fPIC", str(folder / "one.cpp"), "-o", str(library)], folder / "log", "")
    linked = [str(library), f"-Wl,-rpath,{folder}"]
    run_compiler([clang, str(folder / "main.cpp"), *linked, "-o", str(program)], folder / "log", "")
    assert library in [one.path for one in libraries_of(program, toolchain, {"PATH": ""})]


def test_an_instrumented_library_is_told_from_others(toolchain: Toolchain, tmp_path: Path) -> None:

    source = tmp_path / "one.cpp"
    source.write_text('int value; extern "C" void call(); void change() { value = 1; call(); }\n')
    for name, options in (("with", ["-fsanitize=thread"]), ("without", [])):
        library = tmp_path / f"{name}.so"
        command = [str(toolchain.clangxx), "-shared", "-fPIC", *options, str(source), "-o", str(library)]
        run_compiler(
            [*command, "-Wl,-undefined,dynamic_lookup"] if toolchain.is_apple else command,
            tmp_path / "log",
            "",
        )
        assert is_instrumented(library, toolchain) is (name == "with")


def test_names_of_inlined_functions_are_known(small_program: Program, toolchain: Toolchain) -> None:
    """`Counter::add` has no symbol of its own, but frames name it, so that a suppression can match it."""
    names = names_in(small_program.path, small_program.files, toolchain)
    assert any(one.endswith("Counter::add(bool)") for one in names)
    assert str(Recipe.load(SMALL).root / "counter.cpp") in names
    assert not any(one.startswith("__tsan::") for one in names)


class TestCache:
    @pytest.fixture
    def copied(self, tmp_path: Path) -> Path:
        shutil.copytree(SMALL.parent, tmp_path / "programs")
        return tmp_path / "programs" / "small.toml"

    def test_it_is_built_once_and_again_after_a_change_of_a_header(
        self, copied: Path, toolchain: Toolchain, tmp_path: Path
    ) -> None:
        said: list[str] = []
        first = NativeBuilder(Recipe.load(copied), toolchain, cache=tmp_path / "cache").ensure(said.append)
        assert [one.startswith("small-harness: building 3 files under ThreadSanitizer") for one in said] == [
            True
        ]
        again = NativeBuilder(Recipe.load(copied), toolchain, cache=tmp_path / "cache").ensure(said.append)
        assert (again, len(said)) == (first, 1)
        header = copied.parent / "small" / "program.h"
        header.write_text(header.read_text() + "\n")
        other = NativeBuilder(Recipe.load(copied), toolchain, cache=tmp_path / "cache").ensure(said.append)
        assert len(said) == 2
        assert other.path != first.path

    def test_a_failure_of_the_compiler_shows_its_text(
        self, copied: Path, toolchain: Toolchain, tmp_path: Path
    ) -> None:
        (copied.parent / "small" / "counter.cpp").write_text("#error that is the reason\n")
        with pytest.raises(BuildError, match="that is the reason"):
            NativeBuilder(Recipe.load(copied), toolchain, cache=tmp_path / "cache").ensure(print)


def test_opening_finds_the_same_program(build_cache: Path, small_program: Program) -> None:
    harness = Harness.open(SMALL, print)
    assert harness.program.sha256 == small_program.sha256
    assert list(harness.listing.faults) == ["counter_unlocked", "encoder_taken_twice", "count_lost"]
    assert harness.audit.reasons == ()
