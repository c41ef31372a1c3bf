"""Upstream's design: plain threads share stream 0 and one cache of graphs."""

from __future__ import annotations

import torch

from tests.sim.on_device.helpers import DEVICE
from tests.sim.on_device.helpers import counted
from tests.sim.on_device.helpers import in_threads
from tests.sim.on_device.helpers import ops
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
