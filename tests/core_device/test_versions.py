"""A tree against the installed torch: versions, and the slots of the interfaces between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stress.device.core import tree
from stress.device.core import versions
from stress.device.core.versions import virtual_functions
from stress.device.torch_installation import TorchInstallation
from stress.device.torch_installation import find_torch
from stress.model.errors import BuildError
from stress.model.errors import OptionError
from tests.core_device.trees import small_tree

HOOKS = """
#pragma once
namespace at {
#define FAIL(func) \\
  virtual void not_a_function(func);
struct TORCH_API MPSHooksArgs;
struct TORCH_API MPSHooksInterface : AcceleratorHooksInterface {
  ~MPSHooksInterface() override = default;
  // virtual void commented_out() const;
  void init() const override { FAIL(__func__); }
  virtual bool isOnMacOSorNewer(unsigned major = 13, unsigned minor = 0) const {
    if (major) { return "virtual void in_a_string();"; }
    return false;
  }
  virtual Allocator* getMPSDeviceAllocator() const = 0;
  virtual void deviceSynchronize() const;
  virtual double elapsedTimeOfEvents(uint32_t start, uint32_t end) const { return 0; }
  int not_virtual(int a);
 private:
  virtual void record(const std::function<void(int, bool)>& done, std::map<int, int> all = {}) noexcept;
};
}
"""


def fake_torch(root: Path, **headers: str) -> TorchInstallation:
    for name, text in headers.items():
        interface = next(one for one in versions.INTERFACES if one.name == name)
        path = root / "include" / interface.header
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return TorchInstallation(root, "2.13.0+cpu", "", (), False, True, 0)


class TestVirtualFunctions:
    def test_are_listed_in_order_without_names_and_defaults(self) -> None:
        assert virtual_functions(HOOKS, "MPSHooksInterface") == (
            "bool isOnMacOSorNewer(unsigned, unsigned) const",
            "Allocator* getMPSDeviceAllocator() const",
            "void deviceSynchronize() const",
            "double elapsedTimeOfEvents(uint32_t, uint32_t) const",
            "void record(const std::function<void(int, bool)>&, std::map<int, int>)",
        )

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("virtual void f(double ratio) const;", "virtual void f(double /*ratio*/) const {}"),
            ("virtual void f(const Device device);", "virtual void f(const Device) noexcept = 0;"),
            ("virtual\n  void f( unsigned int x );", "virtual void f(unsigned int);"),
            ("virtual void f([[maybe_unused]] int a = g(1, 2));", "virtual void f(int a);"),
            ("virtual void f(void);", "public: virtual void f();"),
            ("virtual int* f(std::pair<int, int> a);", "virtual int *f(std::pair<int,int>);"),
        ],
    )
    def test_spelled_in_another_way_are_the_same(self, one: str, other: str) -> None:
        left, right = (virtual_functions(f"class A {{ {text} }};", "A") for text in (one, other))
        assert left == right
        assert left

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("virtual void f() const;", "virtual void f();"),
            ("virtual void f(int);", "virtual void f(unsigned);"),
            ("virtual void f(int);", "virtual void f(int, int);"),
            ("virtual void f(Device&);", "virtual void f(Device);"),
            ("virtual void f(at::Device);", "virtual void f(c10::Device);"),
            ("virtual ~A();", ""),
        ],
    )
    def test_that_differ_are_different(self, one: str, other: str) -> None:
        left, right = (virtual_functions(f"class A {{ {text} }};", "A") for text in (one, other))
        assert left != right

    def test_of_a_class_that_is_not_there(self) -> None:
        assert virtual_functions("class Other; class MPSHooksInterface;", "MPSHooksInterface") is None

    def test_of_torchs_own_headers_are_found(self) -> None:
        include = find_torch().include_folders[0]
        for one in versions.INTERFACES:
            if (include / one.header).is_file():
                text = (include / one.header).read_text()
                found = virtual_functions(text, one.name)
                assert found, one.header
                assert not any("{" in name or "override" in name for name in found)


class TestInterfaces:
    def compared(self, tmp_path: Path, tree_header: str) -> versions.ComparedInterface:
        root = small_tree(tmp_path / "tree")
        path = root / "aten/src/ATen/detail/MPSHooksInterface.h"
        path.write_text(tree_header)
        torch = fake_torch(tmp_path / "torch", MPSHooksInterface=HOOKS)
        found = versions.compare_interfaces(tree.inspect(str(root)), torch)
        return next(one for one in found if one.interface.name == "MPSHooksInterface")

    def test_that_agree(self, tmp_path: Path) -> None:
        found = self.compared(tmp_path, HOOKS.replace("unsigned major = 13", "unsigned int_major"))
        assert found.is_same
        assert found.differences() == []

    def test_with_a_function_inserted_in_the_middle(self, tmp_path: Path) -> None:
        more = "  virtual void releaseCurrentThreadSlot() const {}\n"
        found = self.compared(
            tmp_path, HOOKS.replace("  virtual double elapsed", f"{more}  virtual double elapsed")
        )
        assert not found.is_same
        assert found.differences() == ["slot 3: the tree adds void releaseCurrentThreadSlot() const"]
        assert found.treatment == "calls are passed on by name"

    def test_with_two_functions_in_another_order(self, tmp_path: Path) -> None:
        line = "  virtual void deviceSynchronize() const;\n"
        found = self.compared(tmp_path, HOOKS.replace(line, "").replace(" private:\n", f"{line} private:\n"))
        assert not found.is_same
        assert found.differences() == [
            "slot 2: the tree adds double elapsedTimeOfEvents(uint32_t, uint32_t) const",
            "slot 3: the tree lacks double elapsedTimeOfEvents(uint32_t, uint32_t) const",
        ]

    def test_of_which_the_tree_has_no_header_are_not_called_the_same(self, tmp_path: Path) -> None:
        root = small_tree(tmp_path / "tree")
        found = versions.compare_interfaces(tree.inspect(str(root)), fake_torch(tmp_path / "torch"))
        assert not any(one.is_known or one.is_same for one in found)
        used = {one.interface.name: one.treatment for one in found}
        assert used["IMPSAllocator"] == "the tree's own is used"
        assert used["GeneratorImpl"] == "torch's own is used"


class TestVersion:
    def inspected(self, tmp_path: Path, version: str) -> tree.PytorchTree:
        return tree.inspect(str(small_tree(tmp_path / "tree", version)))

    @pytest.mark.parametrize("version", ["2.13.0a0", "2.13.1", "2.13.0"])
    def test_that_agrees_in_major_and_minor_passes(self, tmp_path: Path, version: str) -> None:
        versions.require_matching(self.inspected(tmp_path, version), fake_torch(tmp_path / "torch"))

    @pytest.mark.parametrize("version", ["2.6.0a0", "2.1.3", "3.13.0"])
    def test_that_differs_is_refused_with_the_way_out(self, tmp_path: Path, version: str) -> None:
        found = self.inspected(tmp_path, version)
        with pytest.raises(OptionError) as caught:
            versions.require_matching(found, fake_torch(tmp_path / "torch"))
        said = caught.value.told("--")
        wanted = ".".join(version.split(".")[:2])
        assert said.startswith(
            f"--pytorch={found.given}: this is PyTorch {version}, and the installed torch is"
        )
        assert (
            f": install torch=={wanted}.* into this environment, or take a tree of 2.13; with --force" in said
        )

    def test_of_a_torch_that_has_none(self, tmp_path: Path) -> None:
        torch = replace(fake_torch(tmp_path / "torch"), version="unknown")
        with pytest.raises(BuildError, match="calls itself 'unknown'"):
            versions.require_matching(self.inspected(tmp_path, "2.13.0"), torch)
