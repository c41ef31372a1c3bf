"""What PyTorch's own test_mps.py found wrong with the device."""

from __future__ import annotations

import io

import torch

from tests.sim.on_device.helpers import DEVICE


def quantised(weight: torch.Tensor, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return four-bit weights, two in a byte, with scale and zero of each group."""
    from torch.testing._internal.common_quantization import _group_quantize_tensor

    return _group_quantize_tensor(weight, n_bit=4, q_group_size=group)


def check_four_bit_weights_multiply() -> None:
    torch.manual_seed(1)
    weight = torch.rand(64, 48)
    packed, scales_and_zeros = quantised(weight.to(DEVICE), 32)
    packed = torch._convert_weight_to_int4pack(packed, 2)
    assert packed.shape == (6, 2, 32, 1)
    x = torch.rand(5, 64, device=DEVICE)
    result = torch._weight_int4pack_mm(x, packed, 32, scales_and_zeros.to(DEVICE))
    assert ((result.cpu() - x.cpu() @ weight).abs() / (x.cpu() @ weight)).mean() < 0.05


def check_torchscript_passes_indices_of_which_some_are_missing() -> None:
    @torch.jit.script
    def put(x: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        x[:, index] = 1.0
        x[x < 0.5] = 2.0
        return x

    x = put(torch.zeros(2, 3, device=DEVICE), torch.tensor([1], device=DEVICE))
    assert x.tolist() == [[2.0, 1.0, 2.0], [2.0, 1.0, 2.0]]


def check_truth_values_are_drawn_from_any_range() -> None:
    x = torch.randint(0, 100, (1000,), device=DEVICE, dtype=torch.bool)
    assert x.cpu().float().mean() > 0.9


def check_whole_numbers_are_not_normal() -> None:
    try:
        torch.normal(10, 11, (3,), device=DEVICE, dtype=torch.int32)
    except TypeError:
        return
    raise AssertionError("no TypeError")


def check_bincount_with_whole_weights_needs_no_float64() -> None:
    numbers, weights = torch.tensor([0, 1, 1], device=DEVICE), torch.tensor([1, 2, 3], device=DEVICE)
    assert torch.bincount(numbers, weights).tolist() == [1, 5]


def check_a_trace_begins_and_ends() -> None:
    with torch.mps.profiler.profile(mode="event"):
        torch.ones(3, device=DEVICE)


def check_seeds_of_torch_and_of_the_device_are_one() -> None:
    torch.manual_seed(230)
    first = torch.randn(5, device=DEVICE)
    torch.mps.manual_seed(230)
    assert torch.equal(first, torch.randn(5, device=DEVICE))
    state = torch.mps.get_rng_state()
    second = torch.randn(5, device=DEVICE)
    torch.mps.set_rng_state(state)
    assert torch.equal(second, torch.randn(5, device=DEVICE))


def check_a_file_is_loaded_onto_the_device() -> None:
    file = io.BytesIO()
    torch.save(torch.arange(3.0), file)
    file.seek(0)
    loaded = torch.load(file, map_location=DEVICE)
    assert loaded.device.type == torch.device(DEVICE).type
    assert loaded.tolist() == [0.0, 1.0, 2.0]


def check_a_file_from_the_device_is_loaded_where_it_was() -> None:
    file = io.BytesIO()
    torch.save(torch.arange(3, device=DEVICE), file)
    file.seek(0)
    assert torch.load(file).tolist() == [0, 1, 2]
