"""Random numbers: they follow from the seed and from the order of submission, and no two draws share them."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.sim.on_device.helpers import DEVICE
from tests.sim.on_device.helpers import in_threads
from tests.sim.on_device.helpers import ops
from tests.sim.on_device.helpers import raised
from tests.sim.on_device.helpers import slow


def draws() -> list[Tensor]:
    """Return what several operators draw, on the CPU."""
    weights = torch.arange(1.0, 9.0, device=DEVICE)
    return [
        one.cpu()
        for one in (
            torch.rand(5, device=DEVICE),
            torch.randn(20, device=DEVICE),
            torch.randint(0, 100, (5,), device=DEVICE),
            torch.randperm(10, device=DEVICE),
            torch.bernoulli(torch.full((20,), 0.5, device=DEVICE)),
            torch.multinomial(weights, 3),
            torch.nn.functional.dropout(torch.ones(20, device=DEVICE), 0.5),
            torch.native_dropout(torch.ones(20, device=DEVICE), 0.5, True)[0],
            torch.empty(5, device=DEVICE).exponential_(),
            torch.normal(torch.zeros(5, device=DEVICE), 1.0),
        )
    ]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def check_seed_decides() -> None:
    torch.manual_seed(7)
    first = draws()
    torch.manual_seed(7)
    slow(torch.zeros(4, device=DEVICE))
    assert equal(first, draws())
    assert not equal(first, draws())
    torch.mps.manual_seed(8)
    assert not equal(first, draws())
    ops().manual_seed(7)
    assert equal(first, draws())


def check_numbers_are_what_they_should_be() -> None:
    torch.manual_seed(0)
    uniform, normal = torch.rand(10_000, device=DEVICE).cpu(), torch.randn(10_000, device=DEVICE).cpu()
    assert 0 <= uniform.min() < 0.01 < 0.99 < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.02
    assert abs(normal.mean()) < 0.05
    assert abs(normal.std() - 1) < 0.05
    assert torch.randperm(50, device=DEVICE).sort().values.tolist() == list(range(50))
    kept = torch.nn.functional.dropout(torch.ones(10_000, device=DEVICE), 0.25).cpu()
    assert abs((kept == 0).float().mean() - 0.25) < 0.02
    assert kept.max() == 1 / 0.75


def check_state_is_restored() -> None:
    torch.manual_seed(3)
    torch.rand(2, device=DEVICE)
    state = torch.mps.get_rng_state()
    first = draws()
    torch.mps.set_rng_state(state)
    assert equal(first, draws())
    assert "ByteTensor" in raised(
        RuntimeError, lambda: torch.mps.set_rng_state(torch.zeros(3, dtype=torch.uint8))
    )


def check_generators() -> None:
    one, other = torch.Generator(DEVICE).manual_seed(5), torch.Generator(DEVICE).manual_seed(5)
    assert one.initial_seed() == 5
    assert one.device.type == DEVICE.type
    first = torch.rand(4, device=DEVICE, generator=one).cpu()
    torch.rand(4, device=DEVICE)
    assert torch.equal(torch.rand(4, device=DEVICE, generator=other).cpu(), first)
    assert not torch.equal(torch.rand(4, device=DEVICE, generator=other).cpu(), first)
    copied = one.clone_state()
    expected = torch.rand(4, device=DEVICE, generator=one).cpu()
    assert torch.equal(torch.rand(4, device=DEVICE, generator=copied).cpu(), expected)
    text = raised(RuntimeError, lambda: torch.empty(2, device=DEVICE).normal_(generator=torch.Generator()))
    assert "device type for generator" in text


def check_threads_draw_different_numbers() -> None:
    drawn: list[tuple[int, ...]] = []

    def draw() -> None:
        drawn.extend(tuple(torch.randint(0, 1 << 31, (3,), device=DEVICE).tolist()) for _ in range(100))

    in_threads(*[draw] * 8)
    assert len(set(drawn)) == 800


def check_dropout_has_a_gradient() -> None:
    x = torch.ones(1000, device=DEVICE, requires_grad=True)
    y = torch.nn.functional.dropout(x, 0.5)
    y.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad.cpu(), y.detach().cpu())
