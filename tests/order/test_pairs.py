"""Racy programs are found in every run, and fixed ones never, whatever schedule a run had."""

from __future__ import annotations

import functools
import sys
from typing import Any

import pytest
import torch

from tests.order.pairs import PAIRS
from tests.sim.programs import answer

SIM = ("sim:upstream", "sim:fork", "sim:fork-free-list")
REPEATS = 5
ON_HOST = [name for name, (_, _, level) in PAIRS.items() if level == "strict"]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@functools.cache
def outcomes(device: str) -> dict[str, Any]:
    return answer("tests.order.pairs", device, str(REPEATS))


def judge(device: str, name: str) -> None:
    one = outcomes(device)[name]
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


@pytest.mark.parametrize("name", ON_HOST)
def test_pair_on_the_cpu(name: str) -> None:
    judge("cpu", name)


@on_cuda
@pytest.mark.parametrize("name", PAIRS)
def test_pair_on_cuda(name: str) -> None:
    judge("cuda", name)
