"""Copies between the CPU and the device, and on the device: values, lifetimes, what waits and what does not."""

from __future__ import annotations

import gc

import torch

from tests.sim.on_device.helpers import DEVICE
from tests.sim.on_device.helpers import counted
from tests.sim.on_device.helpers import in_threads
from tests.sim.on_device.helpers import raised
from tests.sim.on_device.helpers import same
from tests.sim.on_device.helpers import slow


def check_dtypes_and_strides() -> None:
    x = torch.arange(24.0).view(4, 6)
    for source in (x, x.t(), x[::2, 1:4], x[:, :1].expand(4, 6), x[1]):
        for dtype in (torch.float32, torch.float16, torch.int32):
            same(source.to(DEVICE, dtype), source.to(dtype))
            y = torch.zeros(source.shape[::-1], dtype=dtype, device=DEVICE)
            y.t().copy_(source) if source.dim() == 2 else y.copy_(source)
            expected = torch.zeros(source.shape[::-1], dtype=dtype)
            expected.t().copy_(source) if source.dim() == 2 else expected.copy_(source)
            same(y, expected)
            assert torch.equal(source.to(DEVICE).to("cpu", dtype), source.to(dtype))
    same(x.to(DEVICE).t().contiguous(), x.t().contiguous())
    same(x.to(DEVICE)[:, ::2].to(torch.int64), x[:, ::2].to(torch.int64))


def check_broadcast() -> None:
    x = torch.zeros(3, 4, device=DEVICE)
    x.copy_(torch.arange(4.0))
    same(x, torch.arange(4.0).expand(3, 4))
    x.copy_(torch.tensor(2.0, device=DEVICE))
    same(x, torch.full((3, 4), 2.0))
    assert "must match" in raised(RuntimeError, lambda: x.copy_(torch.arange(5.0)))


def check_source_of_a_blocking_copy_may_change() -> None:
    for _ in range(20):
        busy = slow(torch.zeros(16, device=DEVICE))
        source = torch.ones(1000)
        copied = source.to(DEVICE)
        source.fill_(-1)
        same(copied, torch.ones(1000))
        del busy


def check_source_of_a_non_blocking_copy_stays_alive() -> None:
    copies = []
    slow(torch.zeros(16, device=DEVICE))
    for number in range(50):
        copies.append(torch.full((300_000,), float(number)).to(DEVICE, non_blocking=True))
        torch.full((300_000,), -1.0)
    gc.collect()
    for number, copied in enumerate(copies):
        same(copied, torch.full((300_000,), float(number)))


def check_non_blocking_copies_do_not_wait() -> None:
    x = torch.ones(16)

    def copy_both_ways() -> torch.Tensor:
        return (x.to(DEVICE, non_blocking=True) * 3).to("cpu", non_blocking=True)

    assert counted(copy_both_ways)["synchronisations"] == 0
    back = copy_both_ways()
    torch.accelerator.synchronize()
    assert torch.equal(back, x * 3)
    assert counted(lambda: x.to(DEVICE))["synchronisations"] == 0
    assert counted((x.to(DEVICE) * 3).cpu)["synchronisations"] == 1


def check_target_of_a_non_blocking_copy_stays_alive() -> None:
    source = slow(torch.ones(200_000, device=DEVICE)[:256])
    for _ in range(20):
        torch.empty(256).copy_(source, non_blocking=True)
    torch.accelerator.synchronize()


def check_between_streams() -> None:
    made = {}

    def produce() -> None:
        made["x"] = slow(torch.arange(64.0, device=DEVICE))
        torch.ops.mps_stress_sim.synchronize_stream(torch.ops.mps_stress_sim.current_stream())

    in_threads(produce)
    same(made["x"].clone(), torch.arange(64.0))


def check_threads_do_not_disturb_each_other() -> None:
    def copy_own(number: int) -> None:
        for step in range(60):
            x = torch.full((257,), float(number * 1000 + step))
            y = torch.empty(257, device=DEVICE)
            y.copy_(x.to(DEVICE, non_blocking=step % 2 == 0))
            same(y.clone(), x)

    in_threads(*(lambda number=number: copy_own(number) for number in range(8)))


def check_storages() -> None:
    x = torch.arange(8.0)
    assert x.to(DEVICE).untyped_storage().cpu().tolist() == x.untyped_storage().tolist()


def check_pinned_memory_is_plain() -> None:
    assert not torch.arange(3.0).is_pinned()
    same(torch.arange(3.0).pin_memory().to(DEVICE, non_blocking=True), torch.arange(3.0))
