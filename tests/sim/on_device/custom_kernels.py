"""Kernels of a program's own: those of `stress.shaders`, by name, and refusals where a Mac refuses, or could do more."""

from __future__ import annotations

import torch

from stress import shaders
from stress.device.sim import torch_mps
from tests.sim.on_device.helpers import DEVICE
from tests.sim.on_device.helpers import counted
from tests.sim.on_device.helpers import in_threads
from tests.sim.on_device.helpers import raised
from tests.sim.on_device.helpers import same

torch_mps.provide(torch.mps, "upstream")


def check_the_kernels_compute_what_the_cpu_does() -> None:
    for device in (DEVICE, torch.device("cpu")):
        library = shaders.compile_shader(device, shaders.source_of())
        x = torch.arange(6.0).reshape(2, 3).to(device)
        y = torch.zeros_like(x)
        library.add_3(x)
        library.scale(y, x, 2.0, -1.0)
        assert torch.equal(x.cpu(), torch.arange(6.0).reshape(2, 3) + 3)
        assert torch.equal(y.cpu(), (torch.arange(6.0).reshape(2, 3) + 3) * 2 - 1)
    assert torch.mps.compile_shader(shaders.text_of("add_1"))  # by torch's own function


def check_a_kernel_is_in_the_order_of_its_stream() -> None:
    library = shaders.compile_shader(DEVICE, shaders.source_of())
    x = torch.zeros(64, 64, device=DEVICE)
    for _ in range(20):
        library.add_1(x)
        x = x @ torch.eye(64, device=DEVICE)
    same(x, torch.full((64, 64), 20.0))


def check_a_kernels_pipeline_is_made_once_for_all_threads() -> None:
    library = shaders.compile_shader(DEVICE, shaders.source_of())
    tensors = [torch.zeros(4, device=DEVICE) for _ in range(4)]
    works = [lambda x=x: library.add_2(x) for x in tensors]
    works[0]()
    assert counted(lambda: in_threads(*works))["compiles"] == 0


def check_what_it_cannot_do_is_refused_with_the_way_out() -> None:
    other = "kernel void add_1(device float* x, uint i [[thread_position_in_grid]]) { x[i] += 2.0f; }"
    for source in ("Syntax error", other, shaders.text_of("add_1").replace("add_1", "add_16")):
        text = raised(RuntimeError, lambda source=source: shaders.compile_shader(DEVICE, source))  # type: ignore[misc]
        assert text.startswith("Failed to create metal library")
        assert "--mps-device=core" in text
    library = shaders.compile_shader(DEVICE, shaders.source_of(["add_1", "scale"]))
    assert dir(library) == ["add_1", "scale"]
    x = torch.zeros(3, device=DEVICE)
    assert "function state object for: add_2" in raised(RuntimeError, lambda: library.add_2)
    assert "a tensor of the device is expected" in raised(RuntimeError, lambda: library.add_1(torch.zeros(3)))
    assert "1 tensors expected" in raised(RuntimeError, lambda: library.add_1(3.0))
    assert "32-bit floats" in raised(RuntimeError, lambda: library.add_1(x.half()))
    assert "of 3 elements" in raised(RuntimeError, lambda: library.scale(x, x[:2], 1.0, 0.0))
    same(x, torch.zeros(3))
