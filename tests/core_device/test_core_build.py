"""A core in the cache: one build for one content, whole or not at all, and a sentence where there is none.

The compiler's work is replaced by functions of the tests here; `test_compile.py` has the real one.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stress.device import cache
from stress.device.clang import find_toolchain
from stress.device.core import build as core
from stress.device.core import tree as trees
from stress.device.core.build import CoreBuild
from stress.device.core.build import CoreBuilder
from stress.device.core.compile import Built
from stress.device.core.compiler_output import CompileFailed
from stress.device.core.objects import ObjectCache
from stress.device.torch_installation import find_torch
from stress.model.errors import BuildError
from stress.model.errors import OptionError
from tests.core_device.trees import STREAM
from tests.core_device.trees import small_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a core is for Linux")

UNITS = {"library": 20, "python_module": 1, "driver": 10}
Compile = Callable[[Path, Path], Built]
Compiles = Callable[[Compile], list[str | None]]


def compiled(tree: Path, work: Path) -> Built:
    """Stand in for the compiler: a library whose content is the tree's stream, and a driver."""
    (work / "libcore.so").write_bytes((tree / STREAM).read_bytes())
    (work / "bin").mkdir()
    driver = work / "bin" / "driver"
    driver.write_text("#!/bin/sh\n")
    driver.chmod(0o755)
    return Built(work / "libcore.so", None, driver, (STREAM,), 1.0, UNITS, ())


@pytest.fixture
def compiles(monkeypatch: pytest.MonkeyPatch) -> Compiles:
    """Return a function: this is what compiling does from now on. It returns the sanitizer of every call."""

    def use(work: Compile) -> list[str | None]:
        calls: list[str | None] = []

        def build(tree: Path, output: Path, *, sanitizer: str | None, **_: object) -> Built:
            calls.append(sanitizer)
            return work(tree, output)

        monkeypatch.setattr("stress.device.core.compile.build", build)
        return calls

    return use


@pytest.fixture
def builder(tmp_path: Path) -> CoreBuilder:
    torch = find_torch()
    version = ".".join(torch.version.split(".")[:2])
    tree = trees.inspect(str(small_tree(tmp_path / "tree", f"{version}.0")))
    return CoreBuilder(tree, torch, find_toolchain(), tmp_path / "cache")


def ensure(builder: CoreBuilder, *, force: bool = False) -> CoreBuild:
    return builder.ensure(lambda text: None, lambda step, done: None, force=force)


def left_in(builder: CoreBuilder) -> set[str]:
    """Return what lies in the cache beside locks and remembered hashes."""
    found = (one.name for one in builder.cache.glob("*") if one.suffix != ".lock")
    return {name for name in found if not name.startswith("hashes-")}


class TestCached:
    def test_by_content_whatever_the_path(
        self, builder: CoreBuilder, compiles: Compiles, tmp_path: Path
    ) -> None:
        calls = compiles(compiled)
        first = ensure(builder)
        assert first.is_new
        assert first.library.read_bytes() == (builder.tree.root / STREAM).read_bytes()
        assert (first.python_module, first.driver) == (None, builder.folder / "bin" / "driver")
        other = trees.inspect(str(small_tree(tmp_path / "elsewhere", builder.tree.version)))
        second = ensure(replace(builder, tree=other))
        assert not second.is_new
        assert replace(second, is_new=True) == first
        assert calls == [None]

    @pytest.mark.parametrize(
        "change",
        [
            lambda one: replace(one, sanitizer="thread"),
            lambda one: replace(one, torch=replace(one.torch, git="another")),
            lambda one: replace(one, toolchain=replace(one.toolchain, version="clang version 99")),
            lambda one: replace(one, tree=replace(one.tree, hashes={**one.tree.hashes, STREAM: "changed"})),
        ],
        ids=["sanitizer", "torch", "compiler", "content"],
    )
    def test_apart_for_everything_that_goes_into_it(
        self, builder: CoreBuilder, change: Callable[[CoreBuilder], CoreBuilder]
    ) -> None:
        assert change(builder).folder != builder.folder

    def test_apart_for_another_layer(
        self, builder: CoreBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = builder.folder
        (tmp_path / "harness").mkdir()
        (tmp_path / "harness" / "metal.mm").write_text("int layer;\n")
        monkeypatch.setattr(core, "shipped", lambda name: tmp_path / name)
        assert replace(builder).folder != before

    def test_not_if_a_file_of_it_is_damaged(self, builder: CoreBuilder, compiles: Compiles) -> None:
        calls = compiles(compiled)
        for damage in ("libcore.so", "bin/driver"):
            ensure(builder)
            (builder.folder / damage).write_text("damaged")
            assert builder.find() is None
        assert ensure(builder).is_new
        assert len(calls) == 3

    def test_without_what_compiling_leaves(self, builder: CoreBuilder, compiles: Compiles) -> None:
        def work(tree: Path, output: Path) -> Built:
            for name in ("headers", "objects", "logs"):
                (output / name).mkdir()
            (output / "headers" / "mps").symlink_to(tree / "aten/src/ATen/mps")
            return compiled(tree, output)

        compiles(work)
        ensure(builder)
        assert {one.name for one in builder.folder.iterdir()} == {
            "bin", "libcore.so", "logs", "manifest.json", "parts.txt"
        }  # fmt: skip
        assert (builder.tree.root / STREAM).is_file()

    def test_with_the_sanitizer_that_was_asked_for(self, builder: CoreBuilder, compiles: Compiles) -> None:
        calls = compiles(compiled)
        ensure(replace(builder, sanitizer="thread"))
        assert calls == ["thread"]


class TestRefused:
    def test_another_version_is_tried_with_force_alone(
        self, builder: CoreBuilder, compiles: Compiles
    ) -> None:
        calls = compiles(compiled)
        old = replace(builder, tree=replace(builder.tree, version="1.13.0"))
        with pytest.raises(OptionError, match=r"this is PyTorch 1\.13\.0, and the installed torch is"):
            ensure(old)
        assert not calls
        assert ensure(old, force=True).is_new
        assert not ensure(old).is_new  # what is built is there

    def test_a_half_applied_patch_is_tried_with_force_alone(
        self, builder: CoreBuilder, compiles: Compiles
    ) -> None:
        compiles(compiled)
        (builder.tree.root / f"{STREAM}.rej").write_text("@@\n")
        half = replace(builder, tree=trees.inspect(str(builder.tree.root)))
        with pytest.raises(OptionError, match="half-applied"):
            ensure(half)
        assert ensure(half, force=True).is_new


class TestFailed:
    def failing(self, builder: CoreBuilder) -> str:
        with pytest.raises((OptionError, BuildError)) as caught:
            ensure(builder)
        assert not [name for name in left_in(builder) if not name.endswith(".log")]
        return str(caught.value)

    def failed(self, log: str, missing: str | None = None) -> Compile:
        def work(tree: Path, output: Path) -> Built:
            (output / "half.o").write_text("half")
            raise CompileFailed(STREAM, log, log.partition("\n")[0], missing)

        return work

    def test_a_source_that_does_not_compile(self, builder: CoreBuilder, compiles: Compiles) -> None:
        log = "MPSStream.mm:7:3: error: expected ';'\n  7 | int a\n"
        compiles(self.failed(log))
        said = self.failing(builder).splitlines()
        assert said[0] == f"--pytorch={builder.tree.given}: {STREAM} does not compile"
        assert said[1] == "MPSStream.mm:7:3: error: expected ';'"
        path = Path(said[2].removeprefix("the compiler's whole output: "))
        assert path.read_text() == log

    def test_a_name_that_the_layer_lacks(self, builder: CoreBuilder, compiles: Compiles) -> None:
        compiles(self.failed("MPSStream.mm:7:3: error: unknown type name 'MTLThing'\n", "MTLThing"))
        assert "\nMTLThing is not in the simulated Metal" in self.failing(builder)

    def test_a_library_that_cannot_be_linked(self, builder: CoreBuilder, compiles: Compiles) -> None:
        def work(tree: Path, output: Path) -> Built:
            line = "undefined reference to `MTLThing'"
            raise CompileFailed("libmps_core.so", line, line, "MTLThing")

        compiles(work)
        assert ": libmps_core.so cannot be linked\nundefined reference to `MTLThing'" in self.failing(builder)

    def test_a_symbol_that_is_missing_at_load(self, builder: CoreBuilder, compiles: Compiles) -> None:
        def work(tree: Path, output: Path) -> Built:
            built = compiled(tree, output)
            assert built.driver is not None
            built.driver.write_text(
                '#!/bin/sh\n[ -n "$LD_BIND_NOW" ] || exit 0\n'
                'echo "$0: symbol lookup error: $0: undefined symbol: _ZN2at3mps4moreEv" >&2\nexit 127\n'
            )
            return built

        compiles(work)
        assert self.failing(builder) == (
            "what was built does not load: bin/driver: symbol lookup error: bin/driver: undefined symbol: "
            "_ZN2at3mps4moreEv"
        )

    def test_a_disk_that_the_compiler_finds_full(self, builder: CoreBuilder, compiles: Compiles) -> None:
        compiles(self.failed("error: unable to open output file 'a.o': 'No space left on device'\n"))
        assert self.failing(builder).startswith(
            "the disk is full (No space left on device): make room, or set MPS_STRESS_CACHE to a folder on another disk"
        )

    def test_a_disk_that_we_find_full(self, builder: CoreBuilder, compiles: Compiles) -> None:
        def work(tree: Path, output: Path) -> Built:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        compiles(work)
        assert "cannot be written (No space left on device): set MPS_STRESS_CACHE" in self.failing(builder)

    def test_an_interrupt_leaves_nothing(self, builder: CoreBuilder, compiles: Compiles) -> None:
        def work(tree: Path, output: Path) -> Built:
            (output / "half.o").write_text("half")
            raise KeyboardInterrupt

        compiles(work)
        with pytest.raises(KeyboardInterrupt):
            ensure(builder)
        assert not left_in(builder)
        compiles(compiled)
        assert ensure(builder).is_new


class TestHalfBuilt:
    """What a process left that was killed, or whose disk was full."""

    def test_is_not_taken_for_a_build(self, builder: CoreBuilder, compiles: Compiles) -> None:
        calls = compiles(compiled)
        for left in (builder.folder, builder.folder.with_name(f"{builder.folder.name}.building")):
            left.mkdir(parents=True)
            (left / "libcore.so").write_text("half")
        assert builder.find() is None
        made = ensure(builder)
        assert (made.is_new, calls) == (True, [None])
        assert made.library.read_bytes() == (builder.tree.root / STREAM).read_bytes()
        assert left_in(builder) == {builder.folder.name}

    def test_object_files_are_not_kept(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def copyfile(source: Path, target: Path) -> None:
            target.write_text("half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        kept = ObjectCache(tmp_path / "objects")
        (tmp_path / "made.o").write_text("whole")
        with monkeypatch.context() as patched:
            patched.setattr("shutil.copyfile", copyfile)
            with pytest.raises(OSError, match="No space left on device"):
                kept.keep("key", tmp_path / "made.o")
        assert not list((tmp_path / "objects").iterdir())
        assert not kept.take("key", tmp_path / "target.o")
        kept.keep("key", tmp_path / "made.o")
        assert kept.take("key", tmp_path / "target.o")
        assert (tmp_path / "target.o").read_text() == "whole"


SECOND = """
import sys
from pathlib import Path
from stress.device.core import build as core
from stress.device.core import compile
def build(*_, **__):
    raise AssertionError("the second process compiles too")
compile.build = build
builder = core.core_builder(sys.argv[1])
print(builder.ensure(lambda text: print(text, flush=True), lambda *_: None).is_new, flush=True)
"""


def test_a_second_process_waits_and_takes_what_the_first_has_made(
    builder: CoreBuilder, compiles: Compiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(builder.cache))
    second: list[subprocess.Popen[str]] = []

    def work(tree: Path, output: Path) -> Built:
        process = subprocess.Popen(
            [sys.executable, "-c", SECOND, str(tree)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        second.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "another process is building this core: waiting for it\n"
        return compiled(tree, output)

    compiles(work)
    assert ensure(core.core_builder(str(builder.tree.root))).is_new
    printed, _ = second[0].communicate(timeout=800)
    assert printed == "False\n"
