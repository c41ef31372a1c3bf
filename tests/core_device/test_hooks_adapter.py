"""The adapter between libtorch's interface and the tree's."""

from __future__ import annotations

from pathlib import Path

from stress.device.core import hooks
from stress.device.core.versions import virtual_functions
from stress.device.torch_installation import find_torch


def test_every_function_that_libtorch_may_call_is_passed_on() -> None:
    include = find_torch().include_folders[0]
    text = hooks.adapter(Path("/tree"), include)
    for interface in ("AcceleratorHooksInterface", "MPSHooksInterface"):
        header = (include / "ATen" / "detail" / f"{interface}.h").read_text(encoding="utf-8")
        names = [one.partition("(")[0].split()[-1] for one in virtual_functions(header, interface) or ()]
        assert len(names) > 10
        for name in (one for one in names if not one.startswith("~")):
            plain = name.lstrip("*&")
            is_answered = f" {plain}(" in text and plain in hooks._ADDED_LATER
            assert is_answered or text.count(f"tree.{plain}(") == 2, plain  # Asked for, and called.


def test_the_installed_interface_is_seen_before_names_are_changed() -> None:
    include = find_torch().include_folders[0]
    text = hooks.adapter(Path("/tree"), include)
    installed, tree = (
        f'#include "{include}/ATen/detail/MPSHooksInterface.h"',
        '#include "/tree/ATen/detail/MPSHooksInterface.h"',
    )
    define, undefine = "#define getMPSHooks getMPSHooks_of_tree", "#undef getMPSHooks"
    assert text.index(installed) < text.index(define) < text.index(tree) < text.index(undefine)


def test_what_an_older_tree_does_not_know_is_its_one_device(tmp_path: Path) -> None:
    detail = tmp_path / "ATen" / "detail"
    detail.mkdir(parents=True)
    (detail / "MPSHooksInterface.h").write_text("virtual DeviceIndex deviceCount() const { return 2; }")
    text = hooks.adapter(tmp_path, find_torch().include_folders[0])
    assert "bool isAvailable() const override { return of_tree().hasMPS(); }" in text
    assert "tree.deviceCount()" in text  # Its own answer, where it has one.
