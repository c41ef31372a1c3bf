"""Promised against kept on a tree's own core: two real bugs of release 2.6.0, which no value shows, and the fixed tree."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.real_bugs import bugs
from stress.device.core.build import core_builder
from tests.sim.programs import ROOT
from tests.sim.programs import answer

TREE = Path(os.environ.get("TESTS_PYTORCH", ROOT / "build" / "pytorch-2.6.0"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not TREE.is_dir(), reason=f"PyTorch 2.6.0's sources are not in {TREE} (make core gets them)"
    ),
]


def found_on(tree: Path) -> dict[str, Any]:
    build = core_builder(str(tree)).find()
    if build is None or build.python_module is None:
        pytest.skip(f"no core of {tree} is built: mps-stress core build --force --pytorch={tree}")
    return answer("tests.order.host_copies", str(build.python_module))


def test_two_real_bugs_are_the_devices_own() -> None:
    found = found_on(TREE)
    assert found["in_order"] == []
    [source] = found["source_freed_at_once"]
    assert "keeps its source alive" in source
    assert "owner         the device" in source
    [target] = found["host_with_other_strides"]
    assert "keeps its destination alive" in target


def test_the_fixed_tree_is_silent(tmp_path: Path) -> None:
    bugs.fixed_copy(core_builder(str(TREE)).tree, tmp_path / "fixed", bugs.load())
    found = found_on(tmp_path / "fixed")
    assert found == {"in_order": [], "source_freed_at_once": [], "host_with_other_strides": []}
