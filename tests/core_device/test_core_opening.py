"""Opening a core in pytest: one sentence and exit status 4 for what is no tree, and for a child with another torch."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from stress.device.core import tree as trees
from stress.device.core.build import CoreBuild
from stress.device.core.tree import PytorchTree
from stress.device.torch_installation import find_torch
from stress.isolate import device_choice
from stress.plugin import options
from stress.plugin.run import OPTION_PREFIX
from tests.acceptance import Ran
from tests.acceptance import run_in
from tests.core_device.trees import STREAM
from tests.core_device.trees import small_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a core is for Linux")

SOURCE = """
class Adds(Scenario):
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
    def step(self, state, x):
        return x + 1
"""


def run(folder: Path, tree: Path | str) -> Ran:
    return run_in(folder, SOURCE, "--mps-device=core", f"--mps-pytorch={tree}")


def refusal(ran: Ran) -> str:
    """Return the one sentence on stderr of a run that was refused before its first item."""
    assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
    assert not ran.records
    (line,) = [one for one in ran.result.errlines if one.strip()]
    return line


class TestATreeThatCannotBeUsed:
    def test_no_folder(self, tmp_path: Path) -> None:
        assert refusal(run(tmp_path, "/nonexistent")) == "ERROR: --mps-pytorch=/nonexistent: no such folder"

    def test_of_another_project(self, tmp_path: Path) -> None:
        (tmp_path / "other" / "src").mkdir(parents=True)
        assert refusal(run(tmp_path, tmp_path / "other")) == (
            f"ERROR: --mps-pytorch={tmp_path}/other: not a PyTorch source tree, aten/src/ATen is missing: "
            "give the root of a PyTorch source tree, such as a checkout of pytorch/pytorch"
        )

    def test_without_its_mps_backend(self, tmp_path: Path) -> None:
        shutil.rmtree(small_tree(tmp_path / "tree") / "aten/src/ATen/mps")
        assert "aten/src/ATen/mps is missing or has no sources" in refusal(run(tmp_path, tmp_path / "tree"))

    def test_of_another_version(self, tmp_path: Path) -> None:
        small_tree(tmp_path / "tree", "1.13.1")
        said = refusal(run(tmp_path, tmp_path / "tree"))
        assert said.startswith(
            f"ERROR: --mps-pytorch={tmp_path}/tree: this is PyTorch 1.13.1, and the installed torch is"
        )

    def test_half_applied(self, tmp_path: Path) -> None:
        version = ".".join(find_torch().version.split(".")[:2])
        root = small_tree(tmp_path / "tree", f"{version}.0")
        (root / f"{STREAM}.rej").write_text("@@\n")
        said = refusal(run(tmp_path, root))
        assert "a patch or merge in it is half-applied: MPSStream.mm.rej (rejected hunks)" in said


class Builder:
    """A builder whose build is there already, with no library that could be loaded."""

    def __init__(self, tree: PytorchTree, folder: Path, python_module: Path | None) -> None:
        self.tree = tree
        self.made = CoreBuild(
            folder / "libmps_core.so",
            python_module,
            None,
            (STREAM,),
            1.0,
            is_new=False,
            units={},
            left_out=(),
        )

    def ensure(self, *_: object, **__: object) -> CoreBuild:
        return self.made


def opening(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    fingerprint: dict[str, Any],
    *,
    has_module: bool = True,
    foreign: bool = False,
) -> device_choice.DeviceInfo:
    """Open the core of the small tree, whose child has imported the torch of `fingerprint`."""
    folder = pytester.path
    tree = trees.inspect(str(small_tree(folder / "tree")))
    module = folder / "libmps_core_python.so" if has_module else None
    monkeypatch.setattr(
        device_choice, "core_builder", lambda given, sanitizer, operators: Builder(tree, folder, module)
    )
    result = {"capabilities": ["accelerator"], "fingerprint": fingerprint}
    monkeypatch.setattr(device_choice, "probe", lambda *_, **__: result)
    settings = options.parse(
        pytester.parseconfig("--mps-threads=2", "--mps-device=core", f"--mps-pytorch={tree.root}")
    )
    opened: Any = object()
    try:
        return device_choice.open_device(settings, lambda _: opened, lambda _: None, None, foreign=foreign)
    except device_choice.DeviceError as error:
        raise pytest.UsageError(error.told(OPTION_PREFIX)) from error  # as a run of pytest does


class TestTheTorchOfChildren:
    """A core is linked to the torch of this environment: in a child with another one, another library would run."""

    def here(self) -> dict[str, Any]:
        torch = find_torch()
        return {"version": torch.version, "file": str(torch.root / "__init__.py")}

    def test_is_pytests_own(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        device = opening(pytester, monkeypatch, self.here())
        assert (device.name, device.capabilities) == ("core", frozenset({"accelerator"}))

    def test_another_one_is_refused(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        other = {"version": "9.1", "file": "/elsewhere/torch/__init__.py"}
        with pytest.raises(pytest.UsageError) as caught:
            opening(pytester, monkeypatch, other)
        said = str(caught.value)
        assert (
            "but child processes, in which scenarios run, import torch 9.1, /elsewhere/torch/__init__.py"
            in said
        )

    def test_another_one_is_meant_with_another_environment(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = {"version": "9.1", "file": "/elsewhere/torch/__init__.py"}
        assert opening(pytester, monkeypatch, other, foreign=True).torch == other


def test_a_tree_without_functions_for_python_is_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(pytest.UsageError) as caught:
        opening(pytester, monkeypatch, {}, has_module=False)
    assert str(caught.value).endswith(
        "torch/csrc/mps is missing in it, so Python cannot reach its core: restore the folder"
    )
