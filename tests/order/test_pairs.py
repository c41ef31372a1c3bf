"""Racy programs are found in every run, and fixed ones never, whatever schedule a run had."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stress.device.core.build import core_builder
from tests.order.pairs import PAIRS
from tests.sim.programs import ROOT
from tests.sim.programs import answer

SIM = ("sim:upstream", "sim:fork", "sim:fork-free-list")
REPEATS = 5
ON_HOST = [name for name, (_, _, level) in PAIRS.items() if level == "strict"]

ON_ONE_STREAM = [
    *(name for name in PAIRS if name.startswith(("result_read_", "source_overwritten_"))),
    *(name for name in ON_HOST if name != "an_event_that_another_thread_records"),
]
TREE = Path(os.environ.get("TESTS_PYTORCH", ROOT / "build" / "pytorch-2.6.0"))

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@functools.cache
def outcomes(device: str, *names: str) -> dict[str, Any]:
    return answer("tests.order.pairs", device, str(REPEATS), *names)


def judge(device: str, name: str, *names: str) -> None:
    one = outcomes(device, *names)[name]
    assert one["fixed"] == 0, "\n".join(one["texts"])
    assert one["racy"] == REPEATS, f"found in {one['racy']} of {REPEATS} runs; other kinds: {one['others']}"


@on_linux
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("device", SIM)
def test_pair_on_the_simulated_device(device: str, name: str) -> None:
    judge(device, name)


@on_linux
@pytest.mark.parametrize("name", PAIRS)
def test_pair_by_the_wrapped_functions_that_mps_has(name: str) -> None:
    """No trace: as on a Mac, where this has not run."""
    judge("wrapped:upstream", name)


@on_linux
@pytest.mark.slow
@pytest.mark.skipif(
    not TREE.is_dir(), reason=f"PyTorch 2.6.0's sources are not in {TREE} (make core gets them)"
)
@pytest.mark.parametrize("name", ON_ONE_STREAM)
def test_pair_on_a_trees_own_core(name: str) -> None:
    """Release 2.6.0 has one stream, so that what two streams do is no matter there."""
    build = core_builder(str(TREE)).find()
    if build is None:
        pytest.skip(f"no core of {TREE} is built: mps-stress core build --force --pytorch={TREE}")
    judge(f"core:{build.python_module}", name, *ON_ONE_STREAM)


@pytest.mark.parametrize("name", ON_HOST)
def test_pair_on_the_cpu(name: str) -> None:
    judge("cpu", name)


@on_cuda
@pytest.mark.parametrize("name", PAIRS)
def test_pair_on_cuda(name: str) -> None:
    judge("cuda", name)
