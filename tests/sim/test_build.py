"""The build of the simulated device at first use: with a real compiler, and sources that take no time."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stress.device import cache
from stress.device import torch_installation
from stress.device.sim import toolchain
from stress.device.sim.build import LIBRARY
from stress.device.sim.build import SimBuilder
from stress.model.errors import BuildError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")

TINY = """
#ifdef MPS_SIM_PRIVATEUSE1
extern "C" int key() { return 1; }
#else
extern "C" int key() { return 0; }
#endif
"""
ENSURE = """
import sys
from pathlib import Path
from stress.device.sim.build import SimBuilder
from stress.device.sim.toolchain import find_compiler
from stress.device.torch_installation import find_torch
sources, cache = map(Path, sys.argv[1:])
say = lambda text: print(text, flush=True)
print(SimBuilder(sources, find_torch(), find_compiler(), cache).ensure(say).sha256, flush=True)
assert "torch" not in sys.modules
"""

MakeBuilder = Callable[..., SimBuilder]


@pytest.fixture
def make_builder(tmp_path: Path) -> MakeBuilder:
    """Return a function: a builder of this source, by default one that compiles at once."""

    def make(source: str = TINY) -> SimBuilder:
        folder = tmp_path / "harness" / "runtime"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tiny.cpp").write_text(source)
        return SimBuilder(
            tmp_path / "harness",
            torch_installation.find_torch(),
            toolchain.find_compiler(),
            tmp_path / "cache",
        )

    return make


def silent(text: str) -> None:
    raise AssertionError(f"nothing to say here, but: {text}")


class TestABuild:
    def test_happens_once(self, make_builder: MakeBuilder) -> None:
        said: list[str] = []
        first = make_builder().ensure(said.append)
        assert ctypes.CDLL(str(first.library)).key() == 0
        (line,) = said
        assert re.match(r"simulated device: building it for torch \S+ \(about 20 s, once; .+\) in /", line)
        assert make_builder().ensure(silent) == first

    def test_leaves_nothing_but_the_build_the_lock_and_hashes(self, make_builder: MakeBuilder) -> None:
        build = make_builder().ensure(print)
        folder = build.library.parent
        left = {one.name for one in folder.parent.iterdir()} - {folder.name, f"{folder.name}.lock"}
        assert all(re.fullmatch(r"hashes-\w+\.json", one) for one in left)
        assert {one.name for one in folder.iterdir()} == {LIBRARY, cache.MANIFEST}

    def test_is_made_again_when_asked_for(self, make_builder: MakeBuilder) -> None:
        first = make_builder().ensure(print)
        before = first.library.stat().st_ino
        second = make_builder().ensure(print, again=True)
        assert second.library == first.library
        assert second.library.stat().st_ino != before

    def test_belongs_to_its_torch_its_sources_and_its_compiler(self, make_builder: MakeBuilder) -> None:
        changed_source = make_builder(TINY + "\n").folder
        one = make_builder()
        torch, compiler = one.torch, one.compiler
        others = [
            replace(one, torch=replace(torch, version="2.9.1")),
            replace(one, torch=replace(torch, git="0" * 40)),
            replace(one, torch=replace(torch, cxx11_abi=not torch.cxx11_abi)),
            replace(one, torch=replace(torch, accelerators=("cuda",))),
            replace(one, torch=replace(torch, library_bytes=torch.library_bytes + 1)),
            replace(one, compiler=replace(compiler, version="clang version 99")),
        ]
        folders = {changed_source, *(builder.folder for builder in [one, *others])}
        assert len(folders) == 2 + len(others)
        assert make_builder().folder == one.folder

    def test_notices_a_changed_header(self, make_builder: MakeBuilder) -> None:
        before = make_builder().folder
        (make_builder().sources / "runtime" / "tiny.h").write_text("// new\n")
        assert make_builder().folder != before

    def test_takes_the_spare_key_where_torch_has_an_accelerator(self, make_builder: MakeBuilder) -> None:
        plain = make_builder()
        build = replace(plain, torch=replace(plain.torch, accelerators=("cuda",))).ensure(print)
        assert build.key == "privateuseone"
        assert ctypes.CDLL(str(build.library)).key() == 1

    def test_removes_builds_that_nobody_uses(self, make_builder: MakeBuilder) -> None:
        folder = make_builder().cache
        for age in range(cache.BUILDS_KEPT + 2):
            old = folder / f"torch-1.{age}"
            old.mkdir(parents=True)
            (old / cache.MANIFEST).write_text("{}")
            os.utime(old, (age, age))
        build = make_builder().ensure(print)
        left = {one.name for one in folder.iterdir() if one.is_dir()}
        newest = range(3, cache.BUILDS_KEPT + 2)
        assert left == {build.library.parent.name, *(f"torch-1.{age}" for age in newest)}


class TestADamagedBuild:
    @pytest.mark.parametrize(
        "damage",
        [
            lambda folder: (folder / LIBRARY).write_bytes(b"\x7fELF and then nothing"),
            lambda folder: (folder / LIBRARY).unlink(),
            lambda folder: (folder / cache.MANIFEST).write_text("not JSON"),
            lambda folder: (folder / cache.MANIFEST).write_text("[]"),
            lambda folder: (folder / cache.MANIFEST).unlink(),
        ],
        ids=["library", "no-library", "manifest", "other-manifest", "no-manifest"],
    )
    def test_is_built_again(self, make_builder: MakeBuilder, damage: Callable[[Path], object]) -> None:
        first = make_builder().ensure(print)
        damage(first.library.parent)
        said: list[str] = []
        second = make_builder().ensure(said.append)
        assert ctypes.CDLL(str(second.library)).key() == 0
        assert second.library == first.library
        assert len(said) == 1
        assert "damaged or unusable, building it again" in said[0]

    def test_of_a_killed_process_is_cleared_away(self, make_builder: MakeBuilder) -> None:
        left = make_builder().cache / f"{make_builder().folder.name}.building"
        left.mkdir(parents=True)
        (left / LIBRARY).write_bytes(b"half of it")
        build = make_builder().ensure(print)
        assert not left.exists()
        assert ctypes.CDLL(str(build.library)).key() == 0


class TestTwoProcesses:
    def start(self, builder: SimBuilder) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", ENSURE, str(builder.sources), str(builder.cache)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def test_that_start_together_build_once(self, make_builder: MakeBuilder) -> None:
        builder = make_builder()
        processes = [self.start(builder) for _ in range(3)]
        texts = [process.communicate(timeout=800)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0]
        assert sum("building it" in text for text in texts) == 1
        assert len({text.splitlines()[-1] for text in texts}) == 1

    def test_wait_for_each_other(self, make_builder: MakeBuilder) -> None:
        builder = make_builder()
        builder.cache.mkdir()
        with cache.locked(builder.cache / f"{builder.folder.name}.lock", lambda: silent("locked by nobody")):
            process = self.start(builder)
            assert process.stdout is not None
            assert "another process is building the simulated device: waiting" in process.stdout.readline()
            made = cache.make_locked(builder.folder, LIBRARY, lambda work: builder._make(work, print))
        assert process.stdout.read() == f"{made['sha256']}\n"  # it built nothing
        assert process.wait(800) == 0


class TestAFailure:
    def test_of_the_compiler_keeps_its_text(self, make_builder: MakeBuilder) -> None:
        lines = "\n".join(f'#error "line {number}"' for number in range(40))
        builder = make_builder(lines)
        with pytest.raises(BuildError, match="the C\\+\\+ compiler failed") as caught:
            builder.ensure(print)
        assert 'error "line 39"' in str(caught.value).replace("#", "")
        assert "line 3\n" not in str(caught.value)
        (log,) = builder.cache.glob("*.log")
        assert str(log) in str(caught.value)
        assert "line 3\n" in log.read_text().replace('"', "")
        assert log.read_text().startswith(builder.compiler.command[0])
        assert builder.find() is None
        assert make_builder().ensure(print).library.exists()

    def test_to_link_is_told_before_anybody_loads_it(self, make_builder: MakeBuilder) -> None:
        with pytest.raises(BuildError, match="not_there"):
            make_builder('extern "C" int not_there(); int call() { return not_there(); }').ensure(print)

    def test_of_the_cache_folder_names_the_variable(self, make_builder: MakeBuilder, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("no folder")
        builder = replace(make_builder(), cache=tmp_path / "file" / "below")
        with pytest.raises(BuildError, match=r"cannot be written \(Not a directory\): set MPS_STRESS_CACHE"):
            builder.ensure(print)

    def test_without_sources_says_where_they_should_be(
        self, make_builder: MakeBuilder, tmp_path: Path
    ) -> None:
        builder = replace(make_builder(), sources=tmp_path / "nowhere")
        with pytest.raises(BuildError, match=r"its sources are missing \(.*nowhere\)"):
            builder.ensure(print)


class TestTheCompiler:
    def test_may_be_missing(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CXX", raising=False)
        with pytest.raises(
            BuildError, match=r"no C\+\+ compiler \(g\+\+ or clang\+\+\) was found on PATH: install"
        ):
            toolchain.find_compiler()

    def test_is_the_one_that_cxx_names(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        fake = tmp_path / "my-c++"
        fake.write_text("#!/bin/sh\necho my compiler 1.0\necho more\n")
        fake.chmod(0o755)
        monkeypatch.setenv("CXX", f"{fake} -march=native")
        found = toolchain.find_compiler()
        assert found == toolchain.Compiler((str(fake), "-march=native"), "my compiler 1.0")

    def test_that_cxx_names_must_be_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", "no-such-compiler")
        with pytest.raises(BuildError, match="CXX=no-such-compiler names no program: unset CXX"):
            toolchain.find_compiler()

    def test_that_does_not_run_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CXX", "false")
        with pytest.raises(BuildError, match="false does not run"):
            toolchain.find_compiler()


class TestTorch:
    def fake(self, tmp_path: Path, version: str) -> Path:
        root = tmp_path / "torch"
        (root / "include" / "torch").mkdir(parents=True)
        (root / "lib").mkdir()
        (root / "include" / "torch" / "library.h").touch()
        (root / "version.py").write_text(version)
        (root / "lib" / "libc10.so").write_bytes(b"...\0_ZN3c105ErrorC2ENSt7__cxx1112basic_stringIcE\0...")
        (root / "lib" / "libtorch_cpu.so").write_bytes(bytes(17))
        return root

    def test_is_read_from_its_files(self, tmp_path: Path) -> None:
        text = "from typing import Optional\n__version__ = '2.9.1a0+git1'\ncuda: Optional[str] = None\n"
        found = torch_installation.read_torch(
            self.fake(tmp_path, text + "git_version = 'abc'\nhip: Optional[str] = None\n")
        )
        assert (found.version, found.git, found.accelerators, found.key) == ("2.9.1a0+git1", "abc", (), "mps")
        assert (found.cxx11_abi, found.library_bytes) == (True, 17)

    @pytest.mark.parametrize("name", ["cuda", "hip", "xpu"])
    def test_with_an_accelerator_leaves_the_mps_key_alone(self, tmp_path: Path, name: str) -> None:
        found = torch_installation.read_torch(
            self.fake(tmp_path, f"__version__ = '2.14.1'\n{name}: str = '13.0'\n")
        )
        assert (found.accelerators, found.key) == ((name,), "privateuseone")

    def test_of_the_old_abi_is_recognised(self, tmp_path: Path) -> None:
        root = self.fake(tmp_path, "__version__ = '2.9.1'\n")
        (root / "lib" / "libc10.so").write_bytes(
            b"\0_ZN3c105ErrorC2ENS_14SourceLocationESs\0_ZNSt7__cxx11x\0"
        )
        assert not torch_installation.read_torch(root).cxx11_abi

    def test_without_headers_is_refused(self, tmp_path: Path) -> None:
        root = self.fake(tmp_path, "__version__ = '2.9.1'\n")
        (root / "include" / "torch" / "library.h").unlink()
        with pytest.raises(BuildError, match=r"has no C\+\+ headers .*library\.h is missing"):
            torch_installation.read_torch(root)

    @pytest.mark.parametrize("text", ["not Python(", "\0"])
    def test_with_an_unreadable_version_is_refused(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(BuildError, match="does not give torch's version"):
            torch_installation.read_torch(self.fake(tmp_path, text))

    def test_that_is_installed_agrees_with_itself(self) -> None:
        import torch

        found = torch_installation.find_torch()
        assert found.root == Path(torch.__file__).parent
        assert (found.version, found.git) == (torch.__version__, torch.version.git_version)
        assert found.cxx11_abi == torch._C._GLIBCXX_USE_CXX11_ABI
        assert ("cuda" in found.accelerators) == (torch.version.cuda is not None)


class TestTheCacheFolder:
    def test_is_the_users(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv(cache.CACHE_VARIABLE, raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert cache.cache_folder() == tmp_path / ".cache" / "mps-stress"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache.cache_folder() == tmp_path / "xdg" / "mps-stress"
        monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the specification
        assert cache.cache_folder() == tmp_path / ".cache" / "mps-stress"
        monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "mine"))
        assert cache.cache_folder() == tmp_path / "mine"
