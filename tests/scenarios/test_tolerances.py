"""What a device that is not bitwise equal to itself would be judged by: a tolerance that can tell right from wrong.

On the CPU and on the simulated device all threads get the same bits, so that a tolerance is never looked at there. The
gradients of two models were rounding errors for months, and nobody noticed before an NVIDIA H200 did.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from stress.child.oracle.reference import ReferenceMaker
from stress.child.oracle.tolerance import too_wide
from stress.child.workload import Workload
from stress.device.devices import open_device
from stress.model.plan import Plan
from stress.model.spec import ScenarioRef
from stress.scenario.file import import_module
from stress.scenario.scenario import bind
from stress.scenario.scenario import combinations
from stress.scenario.scenario import waves_of
from stress.scenario.variants import is_scenario_class

MODELS = Path(__file__).resolve().parents[2] / "scenarios" / "models.py"
MODULE = import_module(ScenarioRef(str(MODELS), "models_of_tolerances", "", ()))
CLASSES = [cls for cls in vars(MODULE).values() if is_scenario_class(cls, MODULE)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Compute as a reference does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def vague_outputs(cls: type[Any], indices: tuple[int, ...]) -> list[str]:
    """Return the outputs of an item whose tolerance on another device would be too wide."""
    scenario = bind(cls, indices, threads=2, device_type="cpu", overrides={"iterations": 2})
    workload = Workload(scenario, Plan.make(waves_of(scenario, 2)), seed=7)
    reference = ReferenceMaker(workload, open_device("cpu")).make()
    assert not reference.no_exact
    return [
        f"output {place}: {allowed:.3g} allowed for values of size {scale:.3g}"
        for one in reference.full
        for place, (allowed, scale, half) in enumerate(zip(one.allowed, one.scale, one.half, strict=True))
        if too_wide(allowed, scale, half=half)
    ]


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_tolerance_can_tell_right_from_wrong(cls: type[Any]) -> None:
    vague = {str(params): vague_outputs(cls, indices) for indices, params in combinations(cls)}
    assert not {params: outputs for params, outputs in vague.items() if outputs}


def test_a_loss_that_normalisation_makes_constant_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "_loss", lambda y: y.square().mean())
    indices = next(
        one for one, params in combinations(MODULE.SharedTraining) if params["model"] == "encoder_layer"
    )
    assert vague_outputs(MODULE.SharedTraining, indices)
