"""The pure logic of `make check-macos`; nothing is downloaded or compiled here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stress.sanitizer.native.harness import default_recipe
from stress.sanitizer.native.recipe import Recipe
from tools import check_macos
from tools import torch_wheels
from tools.check_macos import Symbols
from tools.check_macos import read_symbols

NM = """\
/tmp/work/streams.o:
__ZN2at3mps19getCurrentMPSStreamEv U 0 0
__ZN7harness7backend9stream_atEi T 40 0
_harness_weak W 80 0

/tmp/work/memory.o:
__ZN7harness7backend9stream_atEi U 0 0
__ZNSt3__112basic_stringIcE6appendEPKc U 0 0
_OBJC_CLASS_$_MPSGraphTensorData U 0 0
___tsan_func_entry U 0 0
"""


class TestSymbols:
    def test_what_one_object_defines_is_not_open_in_another(self) -> None:
        symbols = read_symbols(NM.splitlines())
        assert symbols.defined == {"__ZN7harness7backend9stream_atEi", "_harness_weak"}
        assert symbols.open == {
            "__ZN2at3mps19getCurrentMPSStreamEv",
            "__ZNSt3__112basic_stringIcE6appendEPKc",
            "_OBJC_CLASS_$_MPSGraphTensorData",
            "___tsan_func_entry",
        }
        assert symbols.of_torch == ["__ZN2at3mps19getCurrentMPSStreamEv"]

    @pytest.mark.parametrize(
        ("name", "is_torch"),
        [
            ("__ZNK3c109Allocator5cloneEPKvm", True),
            ("__ZTIN3c106ErrorE", True),
            ("__ZN5torch3mps6commitEv", True),
            ("__ZNSt3__16vectorIN2at6TensorEE3endEv", True),
            ("__ZN12at_the_doorE", False),
            ("__ZN3c113fooEv", False),
            ("_MTLCreateSystemDefaultDevice", False),
        ],
    )
    def test_only_torch_can_have_names_of_its_namespaces(self, name: str, is_torch: bool) -> None:
        symbols = Symbols(frozenset(), frozenset({name}))
        assert symbols.of_torch == ([name] if is_torch else [])


class TestMissing:
    def test_no_nm(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(check_macos.CheckError, match="apt-get install llvm-19"):
            check_macos.find_nm()

    def test_no_index(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        monkeypatch.setattr(check_macos, "find_nm", lambda: tmp_path)
        monkeypatch.setattr(sys, "argv", ["check_macos.py"])
        assert check_macos.main() == 2
        assert "is there a network, and is the package index in reach?" in capsys.readouterr().err


def test_wheels_are_those_of_arm64_macs() -> None:
    options = torch_wheels.for_macos()
    platforms = [one.partition("=")[2] for one in options if one.startswith("--platform=")]
    assert platforms
    assert all(one.startswith("macosx_") and one.endswith("_arm64") for one in platforms)
    # Without it pip would take a source distribution, and build it here.
    assert "--only-binary=:all:" in options


def test_the_recipe_of_a_mac_has_all_of_the_harness_but_the_simulation() -> None:
    recipe = Recipe.load(default_recipe(), "darwin", Path("/torch"))
    names = {one.name for one in recipe.units}
    native = recipe.root / "native"
    sources = {
        str(path.relative_to(recipe.root)) for path in native.rglob("*") if path.suffix in (".cpp", ".mm")
    }
    assert names == {one for one in sources if not one.startswith("native/simulated/")}
    assert "-I/torch/include" in recipe.flags
    assert {"-L/torch/lib", "-Wl,-rpath,/torch/lib", "-ltorch_cpu", "-lc10"} <= set(recipe.link)
    frameworks = [recipe.link[index + 1] for index, one in enumerate(recipe.link) if one == "-framework"]
    assert frameworks == ["Metal", "Foundation", "MetalPerformanceShaders", "MetalPerformanceShadersGraph"]
