"""The zoo's faults that live in the torch glue: each gives the wrong values that it is for, and its twin none."""

from __future__ import annotations

import functools
import sys
from typing import Any

import pytest

from stress.device.sim.build import default_builder
from stress.device.sim.zoo import BY_NAME
from tests.sim.programs import answer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")

SYMPTOMS = {
    "copy_torn": "clone",
    "scalar_buffer_reused": "scaled",
    "linear_shared_scratch": "linear",
    "layer_norm_shared_statistics": "layer_norm",
    "op_pair_order": "attention",
    "copy_source_freed": "sent",
    "generator_unlocked": "drawn twice",
}
"""The operation that must be wrong with the fault armed."""

ONLY = ("scalar_buffer_reused", "linear_shared_scratch", "layer_norm_shared_statistics", "op_pair_order",
        "generator_unlocked")  # fmt: skip
"""Faults that must leave all other operations alone."""


@functools.cache
def outcomes() -> dict[str, Any]:
    build = default_builder().ensure(print)
    return answer("tests.sim.glue_faults", str(build.library), build.key)


def test_faults_of_the_glue_are_in_the_zoo() -> None:
    assert set(SYMPTOMS) <= set(BY_NAME)


@pytest.mark.parametrize("fault", SYMPTOMS)
def test_fault_gives_its_wrong_values(fault: str) -> None:
    wrong = outcomes()[fault]
    assert wrong.get(SYMPTOMS[fault], 0) > 0, wrong
    if fault in ONLY:
        assert set(wrong) == {SYMPTOMS[fault]}


@pytest.mark.parametrize("fault", SYMPTOMS)
@pytest.mark.parametrize("kind", ["twin", "alone"])
def test_twin_and_single_thread_are_right(fault: str, kind: str) -> None:
    assert outcomes()[f"{fault} {kind}"] == {}
