"""A tree's own operators: what is compiled, what is registered, which families stay with the CPU, and what the header says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stress.device.core import codegen
from stress.device.core import operators
from stress.device.core import sources
from stress.device.core import tree as trees
from stress.device.core.sources import CoreSource
from stress.model.errors import BuildError
from tests.core_device.trees import committed_tree
from tests.core_device.trees import small_tree

OPERATIONS = "aten/src/ATen/native/mps/operations"
TORCH_LIST = """\
# how it is written: see the README
- func: add.out(Tensor self, Tensor other, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)
  structured: True
  dispatch:
    CPU, CUDA, MPS: add_out
    SparseCPU: add_out_sparse
  tags: pointwise

- func: tril(Tensor self, SymInt diagonal=0) -> Tensor
  dispatch:
    CPU: tril_cpu
    MPS: tril_new_name

- func: linear(Tensor input, Tensor weight) -> Tensor
  python_module: nn

- func: gone_from_mps(Tensor self) -> Tensor
  dispatch:
    MPS: of_torch_alone
  autogen: gone_from_mps.out

- func: changed(Tensor self, bool gqa=False) -> Tensor
  dispatch:
    MPS: changed_mps
"""
TREE_LIST = """\
- func: add.out(Tensor self, Tensor other, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)
  structured: True
  dispatch:
    CPU, CUDA: add_out
    MPS: add_out_mps

- func: tril(Tensor self, int diagonal=0) -> Tensor
  dispatch:
    MPS: tril_mps

- func: linear(Tensor input, Tensor weight) -> Tensor
  dispatch:
    MPS: _mps_linear

- func: changed(Tensor self) -> Tensor
  dispatch:
    MPS: changed_mps

- func: of_the_tree_alone(Tensor self) -> Tensor
  dispatch:
    MPS: new_mps
"""


class TestMerged:
    def test_operators_are_torchs_and_what_serves_them_is_the_trees(self) -> None:
        merged = codegen.merge(TORCH_LIST, TREE_LIST)
        assert merged.kernels == {"add.out": "add_out_mps", "tril": "tril_mps", "linear": "_mps_linear"}
        assert merged.text == (
            """\
# how it is written: see the README
- func: add.out(Tensor self, Tensor other, *, Scalar alpha=1, Tensor(a!) out) -> Tensor(a!)
  structured: True
  dispatch:
    MPS: add_out_mps
    CPU, CUDA: add_out
    SparseCPU: add_out_sparse
  tags: pointwise

- func: tril(Tensor self, SymInt diagonal=0) -> Tensor
  dispatch:
    MPS: tril_mps
    CPU: tril_cpu

- func: linear(Tensor input, Tensor weight) -> Tensor
  dispatch:
    CompositeImplicitAutograd: linear
    MPS: _mps_linear
  python_module: nn

- func: gone_from_mps(Tensor self) -> Tensor
  autogen: gone_from_mps.out

- func: changed(Tensor self, bool gqa=False) -> Tensor
"""
        )

    def test_what_libtorch_has_not_or_not_so_is_named(self) -> None:
        assert codegen.merge(TORCH_LIST, TREE_LIST).unknown == ("changed", "of_the_tree_alone")

    def test_a_function_that_is_left_out_is_not_registered(self) -> None:
        merged = codegen.merge(TORCH_LIST, TREE_LIST, {"add_out_mps"})
        assert "add_out_mps" not in merged.text
        assert set(merged.kernels) == {"tril", "linear"}
        assert "add.out" not in merged.unknown

    def test_the_same_list_twice_stays_as_it_is_but_for_the_order(self) -> None:
        merged = codegen.merge(TREE_LIST, TREE_LIST)
        assert sorted(merged.text.splitlines()) == sorted(TREE_LIST.splitlines())


class TestTorchgen:
    @pytest.mark.parametrize(("missing", "package"), [("yaml", "pyyaml"), ("torchgen", "torch")])
    def test_what_it_needs_is_named_where_it_is_missing(
        self, missing: str, package: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "importlib.util.find_spec", lambda name: None if name == missing else sys.__spec__
        )
        with pytest.raises(BuildError, match=f"pip install {package}"):
            codegen.require_torchgen()

    def test_it_is_there_when_both_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: sys.__spec__)
        codegen.require_torchgen()


class TestSources:
    def tree(self, folder: Path) -> Path:
        root = small_tree(folder)
        operations = root / OPERATIONS
        operations.mkdir(parents=True, exist_ok=True)
        for name in ("Linear.mm", "Equal.cpp", "Copy.mm", "View.mm", "RnnOps.mm", "Indexing.h"):
            (operations / name).write_text("// one\n")
        (root / trees.NATIVE_FUNCTIONS).write_text(TREE_LIST)
        return root

    def test_all_that_are_carried_but_those_that_every_core_has(self, tmp_path: Path) -> None:
        root = self.tree(tmp_path / "tree")
        found = operators.operator_sources(root)
        assert [one.path.name for one in found] == ["Equal.cpp", "Linear.mm"]
        assert all(one.is_operator for one in found)
        assert not any(one.is_operator for one in sources.core_sources(root))

    def test_a_file_that_does_not_compile_is_a_family_that_stays_with_the_cpu(self, tmp_path: Path) -> None:
        root = self.tree(tmp_path / "tree")
        broken = CoreSource(root / OPERATIONS / "SoftMax.mm", f"{OPERATIONS}/SoftMax.mm", is_of_tree=True)
        left_out = operators.left_out_families(root, [broken])
        assert left_out == ("RNN", "soft max")
        (root / OPERATIONS / "RnnOps.mm").unlink()
        assert operators.left_out_families(root, [broken]) == ("soft max",)

    def test_lists_of_long_long_become_torchs_numbers(self, tmp_path: Path) -> None:
        source = tmp_path / "AdaptivePooling.mm"
        source.write_text("std::vector<long long> out_dims = {};\n")
        assert CoreSource(source, source.name, is_of_tree=True).forced == ("long_vectors.h",)

    def test_they_are_part_of_the_trees_content_where_they_are_used(self, tmp_path: Path) -> None:
        root = self.tree(tmp_path / "tree")
        before = trees.inspect(str(root)), trees.inspect(str(root), "tree")
        (root / OPERATIONS / "Linear.mm").write_text("// another\n")
        after = trees.inspect(str(root)), trees.inspect(str(root), "tree")
        assert before[0].content == after[0].content
        assert before[1].content != after[1].content
        assert trees.NATIVE_FUNCTIONS in after[1].hashes

    def test_the_header_names_an_operator_that_differs_and_families_that_are_not_the_trees(
        self, tmp_path: Path
    ) -> None:
        root = committed_tree(tmp_path / "tree")
        (root / OPERATIONS).mkdir(parents=True, exist_ok=True)
        (root / OPERATIONS / "Linear.mm").write_text("// one\n")
        found = trees.inspect(str(root), "tree")
        assert "Linear.mm" in found.describe()
        assert trees.device_text(found, ("convolution", "RNN")).endswith(
            ", on simulated Metal; operators: tree's, but convolution, RNN: CPU kernels)"
        )
        assert trees.device_text(found).endswith(", on simulated Metal; operators: tree's)")
        plain = trees.inspect(str(root))
        assert "Linear.mm" not in plain.describe()
        assert trees.device_text(plain).endswith(", on simulated Metal; kernels are torch's CPU kernels)")


class TestDefined:
    def test_functions_are_found_by_name_structured_ones_too(self, tmp_path: Path) -> None:
        listed = tmp_path / "nm"
        names = (
            "_ZN2at6native11_mps_linearERKNS_6TensorES3_",
            "_ZN2at6native22structured_add_out_mps4implERKNS_6TensorE",
            "_ZN2at3mps6otherEv",
        )
        listed.write_text("#!/bin/sh\n" + "".join(f"echo '0000 T {name}'\n" for name in names))
        listed.chmod(0o755)
        found = operators.defined_functions(listed, [tmp_path / "a.o"], [])
        assert found == {"_mps_linear", "add_out_mps"}

    def test_what_is_defined_nowhere_or_not_carried_is_left_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kernels = {
            "add.out": "add_out_mps",
            "index.Tensor_out": "index_out",
            "mm.out": "at::native::mm_out_mps",
        }
        left_out = operators.left_out_functions
        assert left_out(kernels, {"add_out_mps", "index_out"}) == {"at::native::mm_out_mps"}
        missing = operators.Family("indexing", functions=("index_out",))
        monkeypatch.setattr(operators, "NOT_CARRIED", (missing,))
        assert left_out(kernels, {"add_out_mps", "mm_out_mps", "index_out"}) == {"index_out"}

    def test_a_listing_that_fails_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(BuildError, match="cannot list what was compiled"):
            operators.defined_functions(tmp_path / "none", [], [])


def test_the_commands_options_say_what_they_are_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "stress.commands.cli", "core", "compare",
            "--pytorch=a", "--pytorch=b", "--operators=tree",
        ],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 2
    assert "--operators=tree: only for build" in done.stderr
