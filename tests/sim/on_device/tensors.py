"""Tensors on the device: what they hold, how they are viewed, changed and resized, against the CPU."""

from __future__ import annotations

import copy
import pickle

import torch

from tests.sim.on_device.helpers import DEVICE
from tests.sim.on_device.helpers import counted
from tests.sim.on_device.helpers import raised
from tests.sim.on_device.helpers import same

FLOAT64 = (
    "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64. "
    "Please use float32 instead."
)
DTYPES = (
    torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
    torch.bool, torch.complex64,
)  # fmt: skip


def check_every_dtype_survives_the_round_trip() -> None:
    for dtype in DTYPES:
        x = torch.tensor([[0, 1, 2], [3, 4, 5]]).to(dtype)
        same(x.to(DEVICE), x)
        same(torch.ones(2, 3, dtype=dtype, device=DEVICE), torch.ones(2, 3, dtype=dtype))


def check_float64_is_refused() -> None:
    x = torch.ones(2, device=DEVICE)
    for call in (
        lambda: torch.zeros(2, dtype=torch.float64, device=DEVICE),
        lambda: torch.empty_strided((2,), (1,), dtype=torch.float64, device=DEVICE),
        lambda: x.to(torch.float64),
        x.double,
        lambda: torch.ones(2, dtype=torch.float64).to(DEVICE),
    ):
        assert raised(TypeError, call) == FLOAT64
    assert "ComplexDouble" in raised(TypeError, lambda: torch.ones(2, dtype=torch.complex128).to(DEVICE))


def check_numbers_are_no_float64_tensors() -> None:
    x = torch.arange(4, device=DEVICE)
    same(x * 2.5, torch.arange(4) * 2.5)
    number = torch.tensor(1.5, dtype=torch.float64)
    same(x.float() + number, torch.arange(4).float() + number)
    assert (x.half() * 2.5).dtype is torch.float16
    assert (x / 2).dtype is torch.float32


def check_views_share_memory() -> None:
    x = torch.arange(24.0).reshape(2, 3, 4)
    y = x.to(DEVICE)
    for one in (x, y):
        one.transpose(0, 2)[1].add_(100)
        one.view(-1)[::5] = -1
        one.as_strided((2, 2), (12, 4), 1).mul_(2)
        one.unfold(2, 2, 2).sub_(1)
        one[:, 1:, None].neg_()
    same(y, x)
    assert y.view(4, 6).data_ptr() == y.data_ptr()
    same(y.unfold(1, 2, 1), x.unfold(1, 2, 1))
    same(y.view(torch.int32), x.view(torch.int32))


def check_complex_views() -> None:
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    c, d = torch.view_as_complex(x), torch.view_as_complex(x.to(DEVICE))
    same(d.conj(), c.conj())
    same(d.conj().imag, c.conj().imag)
    same(d.conj().clone(), c.conj().clone())
    same(torch.view_as_real(d.conj().resolve_conj()), torch.view_as_real(c.conj().resolve_conj()))
    assert d.conj().is_conj()


def check_out_is_resized() -> None:
    x, y = torch.arange(6.0), torch.arange(6.0).to(DEVICE)
    out = torch.empty(0, device=DEVICE)
    assert torch.add(y, 1, out=out) is out
    same(out, x + 1)
    out = torch.empty(3, 2, device=DEVICE)
    torch.mul(y.view(3, 2), 2, out=out)
    same(out, x.view(3, 2) * 2)
    out = torch.empty(0, dtype=torch.int64, device=DEVICE)
    torch.nonzero(y > 2, out=out)
    same(out, torch.nonzero(x > 2))


def check_resize_keeps_what_there_is() -> None:
    x = torch.arange(6.0, device=DEVICE)
    x.resize_(2, 2)
    same(x, torch.arange(4.0).view(2, 2))
    x.resize_(100)
    same(x[:6], torch.arange(6.0))
    x.set_()  # type: ignore[call-overload]
    assert x.numel() == 0
    y = torch.arange(6.0, device=DEVICE)
    x.set_(y.untyped_storage(), 1, (2, 2), (2, 1))
    same(x, torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    x.add_(1)
    same(y, torch.tensor([0.0, 2.0, 3.0, 4.0, 5.0, 5.0]))


def check_empty_tensors() -> None:
    x = torch.empty(0, 3, device=DEVICE)
    same(x + 1, torch.empty(0, 3))
    same(x.sum(0), torch.zeros(3))
    same(torch.cat([x, torch.ones(2, 3, device=DEVICE)]), torch.ones(2, 3))


def check_results_that_depend_on_data() -> None:
    x = torch.tensor([[3.0, -1.0, 2.0], [0.0, 5.0, -2.0]])
    y = x.to(DEVICE)
    same(y.nonzero(), x.nonzero())
    same(y[y > 0], x[x > 0])
    same(torch.unique(y), torch.unique(x))
    assert y.max().item() == 5.0
    assert y[0].tolist() == [3.0, -1.0, 2.0]
    assert torch.equal(y, y.clone())
    assert not torch.equal(y, y + 1)
    assert bool((y > 4).any())


def check_indexing() -> None:
    x = torch.arange(12.0).view(3, 4)
    y = x.to(DEVICE)
    on_cpu, on_device = torch.tensor([2, 0]), torch.tensor([2, 0], device=DEVICE)
    same(y[on_device], x[on_cpu])
    same(y[on_cpu], x[on_cpu])
    same(y[:, None, on_device, None], x[:, None, on_cpu, None])
    for one, index in ((x, on_cpu), (y, on_device)):
        one[index, 1] = 7
        one[one > 10] = 0
        one.index_add_(0, index, one[index] + 1)
        one.scatter_(1, index[None], 3)
    same(y, x)


def check_two_optional_tensors_are_not_mixed_up() -> None:
    x = torch.linspace(-2, 2, 5)
    bound = torch.zeros(5)
    y, limit = x.to(DEVICE), bound.to(DEVICE)
    same(torch.clamp(y, min=limit), torch.clamp(x, min=bound))
    same(torch.clamp(y, max=limit), torch.clamp(x, max=bound))


def check_constants_belong_to_the_graph() -> None:
    x = torch.linspace(-2, 2, 5)
    y = x.to(DEVICE)
    for slope in (0.1, 0.2, 0.1):
        same(torch.nn.functional.leaky_relu(y, slope), torch.nn.functional.leaky_relu(x, slope))
        same(y.clamp(-slope, slope), x.clamp(-slope, slope))
        same(y.view(5, 1).sum(int(slope * 5)), x.view(5, 1).sum(int(slope * 5)))


def check_changing_numbers_make_no_new_graphs() -> None:
    x = torch.zeros(5, device=DEVICE)

    def steps() -> None:
        for step in range(50):
            x.add_(x, alpha=step / 7)
            x.fill_(step)
            x.addcdiv_(x, x + 1, value=step / 3)

    steps()
    assert counted(steps)["compiles"] == 0


def check_work_is_asynchronous() -> None:
    x = torch.ones(8, 8, device=DEVICE)

    def forward() -> None:
        torch.nn.functional.layer_norm(torch.relu(x @ x + 1), (8,)).softmax(-1).sum()

    forward()
    counts = counted(forward)
    assert counts["calls_synchronous"] == 0
    assert counts["calls_asynchronous"] >= 6
    assert counts["synchronisations"] == 0


def check_devices_are_not_mixed() -> None:
    x = torch.ones(2, 2, device=DEVICE)
    text = raised(RuntimeError, lambda: x + torch.ones(2, 2))
    assert "at least two devices" in text
    assert "cpu" in text
    assert "at least two devices" in raised(RuntimeError, lambda: torch.mm(torch.ones(2, 2), x))


def check_overlapping_copies_are_refused() -> None:
    x = torch.arange(6.0, device=DEVICE)
    x[1:].copy_(x[:-1])
    assert "single memory location" in raised(RuntimeError, torch.accelerator.synchronize)


def check_copies_of_objects() -> None:
    x = torch.arange(3.0, device=DEVICE).requires_grad_()
    same(copy.deepcopy(x).detach(), torch.arange(3.0))
    assert "tensor([0., 1., 2.]" in repr(x)
    same(pickle.loads(pickle.dumps({"x": torch.arange(3.0)}))["x"].to(DEVICE), torch.arange(3.0))


def check_foreach() -> None:
    xs = [torch.arange(3.0), torch.ones(2, 2)]
    ys = [one.to(DEVICE) for one in xs]
    torch._foreach_mul_(xs, 3.0)
    torch._foreach_mul_(ys, 3.0)
    for got, expected in zip([*ys, *torch._foreach_sqrt(ys)], [*xs, *torch._foreach_sqrt(xs)], strict=True):
        same(got, expected)


def check_memory_is_counted() -> None:
    before = torch.mps.current_allocated_memory()
    x = torch.empty(1 << 20, dtype=torch.uint8, device=DEVICE)
    assert torch.mps.current_allocated_memory() - before == 1 << 20
    assert torch.mps.driver_allocated_memory() >= 1 << 20
    del x
    assert torch.mps.current_allocated_memory() == before
    torch.mps.empty_cache()
    assert torch.mps.driver_allocated_memory() < 1 << 20
    assert torch.mps.recommended_max_memory() > 1 << 28
    assert torch.mps.device_count() == 1
