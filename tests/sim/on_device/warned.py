"""What a kernel warns of reaches the caller of the operator, each time it is called, as often as the kernel says it."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch

from tests.sim.on_device.helpers import DEVICE
from tests.sim.on_device.helpers import counted
from tests.sim.on_device.helpers import in_threads

BYTES = "indexing with dtype torch.uint8"


def warned_of(call: Callable[[], object]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
        torch.mps.synchronize()
    return [str(one.message) for one in caught]


def check_of_an_operator_whose_shape_depends_on_data() -> None:
    x, mask = torch.ones(5, 3, device=DEVICE), torch.tensor([1, 0, 1, 1, 0], dtype=torch.uint8, device=DEVICE)
    for _ in range(2):
        (text,) = warned_of(lambda: x[mask])
        assert BYTES in text


def check_of_an_operator_that_runs_later() -> None:
    x = torch.ones(1, device=DEVICE)
    for _ in range(3):  # compiled once, and warned of each time
        asynchronous = counted(lambda: x + 1)["calls_asynchronous"]
        assert counted(x.std)["calls_asynchronous"] == asynchronous == 1
        (text,) = warned_of(x.std)
        assert "degrees of freedom is <= 0" in text


def check_as_often_as_on_the_cpu() -> None:
    def select(device: torch.device) -> Callable[[], object]:
        x = torch.ones(5, 7, 3, device=device)
        first, second = (
            torch.tensor(one, dtype=torch.uint8, device=device) for one in ([1, 0, 1, 1, 0], [1, 1, 1])
        )
        return lambda: x[first, :, second]

    assert len(warned_of(select(DEVICE))) == len(warned_of(select(torch.device("cpu")))) == 2


def check_an_operator_that_warns_of_nothing_is_silent_from_threads_too() -> None:
    x = torch.ones(4, 4, device=DEVICE)
    assert warned_of(lambda: in_threads(*[lambda: (x @ x).softmax(-1).sum().item()] * 4)) == []
