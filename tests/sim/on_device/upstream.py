"""Upstream's design: plain threads share stream 0 and one cache of graphs."""

from __future__ import annotations

import threading

import torch

from tests.sim.on_device.helpers import DEVICE
from tests.sim.on_device.helpers import counted
from tests.sim.on_device.helpers import in_threads
from tests.sim.on_device.helpers import ops
from tests.sim.on_device.helpers import raised
from tests.sim.on_device.helpers import same

CONFIGURE = "design=upstream"


def check_threads_share_stream_0() -> None:
    seen: list[int] = []
    in_threads(*(lambda: seen.append(ops().current_stream()) for _ in range(4)))
    assert seen == [0, 0, 0, 0]


def check_threads_share_graphs() -> None:
    x = torch.ones(3, 7, device=DEVICE)

    def work() -> None:
        same(torch.sigmoid(x), torch.sigmoid(torch.ones(3, 7)))

    work()
    assert counted(lambda: in_threads(*[work] * 4))["compiles"] == 0


def check_a_thread_may_select_a_stream() -> None:
    def work() -> None:
        with torch.Stream(device=DEVICE) as stream:
            assert ops().current_stream() == stream.stream_id > 0
            same(torch.arange(4.0, device=DEVICE) * 2, torch.arange(4.0) * 2)
        assert ops().current_stream() == 0

    in_threads(*[work] * 4)


def check_a_stream_tells_its_first_error_to_whoever_waits_first_and_no_other() -> None:
    def wrong() -> None:
        for index in (7, 8):
            torch.nn.functional.embedding(
                torch.tensor([index], device=DEVICE), torch.ones(3, 2, device=DEVICE)
            )

    maker = threading.Thread(target=wrong)
    maker.start()
    maker.join()
    assert "index out of range" in raised(torch.AcceleratorError, torch.mps.synchronize)
    torch.mps.synchronize()
    same(torch.ones(2, device=DEVICE) + 1, torch.full((2,), 2.0))


def check_an_error_on_a_chosen_stream_is_no_other_streams() -> None:
    with torch.Stream(device=DEVICE) as stream:
        torch.nn.functional.embedding(torch.tensor([7], device=DEVICE), torch.ones(3, 2, device=DEVICE))
        ops().synchronize_stream(0)
        assert "index out of range" in raised(
            torch.AcceleratorError, lambda: ops().synchronize_stream(stream.stream_id)
        )


def check_a_stream_is_waited_for_by_another_thread() -> None:
    chosen: list[torch.Stream] = []
    made: list[torch.Tensor] = []

    def make() -> None:
        with torch.Stream(device=DEVICE) as stream:
            made.append(torch.ones(64, 64, device=DEVICE) @ torch.ones(64, 64, device=DEVICE))
            chosen.append(stream)

    maker = threading.Thread(target=make)
    maker.start()
    maker.join()
    chosen[0].synchronize()
    assert chosen[0].query()
    same(made[0], torch.full((64, 64), 64.0))
