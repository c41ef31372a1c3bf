"""Streams and events through torch's own interfaces; the fork's design."""

from __future__ import annotations

import torch

from tests.sim.on_device.helpers import DEVICE
from tests.sim.on_device.helpers import in_threads
from tests.sim.on_device.helpers import ops
from tests.sim.on_device.helpers import raised
from tests.sim.on_device.helpers import same
from tests.sim.on_device.helpers import slow

CONFIGURE = "design=fork"


def check_main_thread_is_on_stream_0() -> None:
    assert ops().current_stream() == 0
    assert torch.accelerator.current_stream().stream_id == 0
    assert torch.accelerator.current_accelerator() == torch.device(DEVICE.type)
    assert torch.accelerator.device_count() == 1
    assert torch.accelerator.is_available()


def check_threads_have_streams_of_their_own() -> None:
    seen: list[int] = []
    in_threads(*(lambda: seen.append(ops().current_stream()) for _ in range(8)))
    assert len(set(seen)) == 8
    assert 0 not in seen


def check_selected_stream() -> None:
    stream = torch.Stream(device=DEVICE)
    assert stream.stream_id > 0
    with stream:
        assert torch.accelerator.current_stream() == stream
        y = slow(torch.arange(8.0, device=DEVICE))
    assert torch.accelerator.current_stream().stream_id == 0
    stream.synchronize()
    assert stream.query()
    same(y, torch.arange(8.0))


def check_events_order_streams() -> None:
    producer, consumer = torch.Stream(device=DEVICE), torch.Stream(device=DEVICE)
    for number in range(20):
        event = torch.Event(device=DEVICE)
        with producer:
            x = slow(torch.full((64,), float(number), device=DEVICE))
            event.record()
        with consumer:
            event.wait()
            y = x + 1
            x.record_stream(consumer)
            del x
            assert torch.equal(y.cpu(), torch.full((64,), number + 1.0))


def check_wait_stream() -> None:
    producer, consumer = torch.Stream(device=DEVICE), torch.Stream(device=DEVICE)
    with producer:
        x = slow(torch.arange(8.0, device=DEVICE))
    consumer.wait_stream(producer)
    with consumer:
        same(x * 2, torch.arange(8.0) * 2)


def check_elapsed_time() -> None:
    begin, end = (torch.Event(device=DEVICE, enable_timing=True) for _ in range(2))
    begin.record()
    slow(torch.ones(8, device=DEVICE))
    end.record()
    end.synchronize()
    assert begin.query()
    assert begin.elapsed_time(end) > 0
    untimed = torch.Event(device=DEVICE)
    untimed.record()
    assert "enable_timing" in raised(ValueError, lambda: begin.elapsed_time(untimed))


def check_events_of_torch_mps() -> None:
    begin, end = (torch.mps.Event(enable_timing=True) for _ in range(2))
    begin.record()
    slow(torch.ones(8, device=DEVICE))
    end.record()
    end.wait()
    end.synchronize()
    assert end.query()
    assert begin.elapsed_time(end) > 0


def check_event_that_was_never_recorded() -> None:
    event = torch.Event(device=DEVICE)
    assert event.query()
    event.synchronize()
    event.wait()


def check_memory_of_a_recorded_stream_is_not_reused() -> None:
    reader = torch.Stream(device=DEVICE)
    for _ in range(20):
        x = torch.ones(1000, device=DEVICE)
        torch.accelerator.synchronize()
        with reader:
            slow(torch.zeros(16, device=DEVICE))
            y = x * 2
        x.record_stream(reader)
        del x
        torch.full((1000,), -1.0, device=DEVICE)
        reader.synchronize()
        same(y, torch.full((1000,), 2.0))


def check_backward_runs_under_the_forward_stream() -> None:
    seen = []

    class Noted(torch.autograd.Function):
        @staticmethod
        def forward(_: object, x: torch.Tensor) -> torch.Tensor:
            return x * 2

        @staticmethod
        def backward(_: object, grad: torch.Tensor) -> torch.Tensor:
            seen.append(ops().current_stream())
            return grad * 2

    def step() -> None:
        x = torch.ones(4, device=DEVICE, requires_grad=True)
        Noted.apply(x).sum().backward()
        assert x.grad is not None
        same(x.grad, torch.full((4,), 2.0))
        assert seen.pop() == ops().current_stream()

    in_threads(step)
    with torch.Stream(device=DEVICE):
        step()


def check_synchronize_waits_for_all_streams() -> None:
    results = []
    for _ in range(4):
        with torch.Stream(device=DEVICE):
            results.append(slow(torch.ones(16, device=DEVICE)))
    torch.mps.synchronize()
    statistics = ops().statistics()
    assert statistics["submitted"] == statistics["executed"]
    for one in results:
        same(one, torch.ones(16))


def check_streams_that_do_not_exist() -> None:
    assert "no stream 99" in raised(ValueError, lambda: ops().synchronize_stream(99))
    assert "no event 0" in raised(ValueError, lambda: ops().event_release(0))
