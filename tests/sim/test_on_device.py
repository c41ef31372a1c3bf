"""Tensors, copies, streams, events, random numbers and errors of the simulated device.

Loading it registers a device for the whole process, so that the checks run in children, one for each file.
"""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path

import pytest

from stress.device.sim.build import default_builder
from tests.sim.programs import answer

CHECKS = Path(__file__).parent / "on_device"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")


def names() -> list[tuple[str, str]]:
    """Return (file, check) of every check, without importing torch."""
    return [
        (path.stem, node.name)
        for path in sorted(CHECKS.glob("[a-z]*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
    ]


@functools.cache
def outcomes(file: str) -> dict[str, str]:
    """Return the outcomes of one file's checks."""
    build = default_builder().ensure(print)
    if build.key != "mps":
        pytest.skip("torch.mps is not the device's here: this torch has another accelerator")
    return answer("tests.sim.on_device", file, str(build.library), build.key, python=("-X", "faulthandler"))


@pytest.mark.parametrize(("file", "check"), names(), ids="-".join)
def test_on_device(file: str, check: str) -> None:
    outcome = outcomes(file)[check]
    assert outcome == "ok", outcome
