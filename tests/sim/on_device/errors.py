"""Errors: at once where the shapes tell, at the next synchronisation where only the data does; memory; forking."""

from __future__ import annotations

import os

import torch

from tests.sim.on_device.helpers import DEVICE
from tests.sim.on_device.helpers import counted
from tests.sim.on_device.helpers import in_threads
from tests.sim.on_device.helpers import ops
from tests.sim.on_device.helpers import raised
from tests.sim.on_device.helpers import same

INDEX = "index out of range in self"


def wrong_index() -> torch.Tensor:
    return torch.nn.functional.embedding(torch.tensor([7], device=DEVICE), torch.ones(3, 2, device=DEVICE))


def check_wrong_shapes_are_told_at_once() -> None:
    x = torch.ones(2, 3, device=DEVICE)
    assert "shapes cannot be multiplied" in raised(RuntimeError, lambda: x @ x)
    assert "must match" in raised(RuntimeError, lambda: x + torch.ones(4, device=DEVICE))
    assert "out of range" in raised(IndexError, lambda: x.sum(5))


def check_wrong_index_is_told_at_the_next_synchronisation() -> None:
    for synchronize in (
        torch.mps.synchronize,
        torch.ones(1, device=DEVICE).item,
        torch.accelerator.synchronize,
    ):
        wrong_index()
        assert INDEX in raised(torch.AcceleratorError, synchronize)
        torch.mps.synchronize()  # told once
    same(torch.ones(2, device=DEVICE) + 1, torch.full((2,), 2.0))


def check_wrong_arguments_are_told_at_the_call() -> None:
    """What meta functions do not know: dtypes and values that a kernel refuses, and memory that lies twice in one call."""
    x = torch.ones(4, 4, device=DEVICE)
    assert "not implemented for" in raised(NotImplementedError, lambda: torch.linalg.lu_factor_ex(x.half()))
    assert "single memory location" in raised(RuntimeError, lambda: x.view(-1)[1:].add_(x.view(-1)[:-1]))
    torch.mps.synchronize()
    same(x, torch.ones(4, 4))


def check_what_is_refused_is_refused_after_a_call_that_was_not() -> None:
    """The key of the compiled graph has to say it: the numbers of a distribution, and memory that is out= and read."""
    x = torch.ones(10, device=DEVICE)
    x.uniform_(0, 1)
    assert "found from=3 > to=-1" in raised(RuntimeError, lambda: x.uniform_(3, -1))
    x.normal_(0, 1)
    assert "std" in raised(RuntimeError, lambda: x.normal_(0, -1))
    values, index = torch.ones(3, device=DEVICE), torch.zeros(3, dtype=torch.long, device=DEVICE)
    torch.take(values, index, out=torch.zeros(3, device=DEVICE))
    assert "single memory location" in raised(RuntimeError, lambda: torch.take(values, index, out=values))
    torch.add(values, 1, out=values)  # element by element: allowed
    torch.mps.synchronize()
    same(values, torch.full((3,), 2.0))


def check_first_use_of_an_operator_waits_for_nothing() -> None:
    x = torch.ones(7, 9, device=DEVICE)
    assert counted(lambda: x.cosh().erfinv())["synchronisations"] == 0


def check_error_goes_to_the_thread_that_made_it() -> None:
    def right() -> None:
        for _ in range(30):
            same(torch.ones(2, device=DEVICE) * 3, torch.full((2,), 3.0))

    def wrong() -> None:
        for _ in range(30):
            assert INDEX in raised(RuntimeError, wrong_index().cpu)

    in_threads(right, wrong, right, wrong)


def check_an_operator_that_waits_keeps_the_type_of_its_error() -> None:
    def unpack() -> None:
        too_long, one = torch.tensor([9]), torch.tensor([1])
        target = torch.ones(1, 1, dtype=torch.int64, device=DEVICE)
        torch.nn.functional.ctc_loss(torch.zeros(2, 1, 3, device=DEVICE), target, too_long, one)

    assert "input_length" in raised(RuntimeError, unpack)


def check_memory_limit() -> None:
    torch.mps.empty_cache()
    ops().set_memory_limit(1 << 20)
    try:
        x = torch.ones(1 << 17, device=DEVICE)
        text = raised(torch.OutOfMemoryError, lambda: torch.ones(1 << 18, device=DEVICE))
        assert text.startswith("MPS backend out of memory (simulated")
        del x
        torch.ones(1 << 17, device=DEVICE)
    finally:
        ops().set_memory_limit(0)
    torch.ones(1 << 18, device=DEVICE)


def check_memory_fraction() -> None:
    torch.mps.empty_cache()
    torch.mps.set_per_process_memory_fraction(1e-9)
    try:
        raised(torch.OutOfMemoryError, lambda: torch.ones(1 << 18, device=DEVICE))
    finally:
        torch.mps.set_per_process_memory_fraction(0.0)
    torch.ones(1 << 18, device=DEVICE)


def check_forked_child_is_refused() -> None:
    torch.ones(2, device=DEVICE)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            torch.ones(2, device=DEVICE)
            text = "not refused"
        except RuntimeError as error:
            text = str(error)
        os.write(writer, text.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert "'spawn' start method" in os.read(reader, 4096).decode()


def check_sparse_tensors_are_refused() -> None:
    raised(NotImplementedError, lambda: torch.ones(2, 2, device=DEVICE).to_sparse())


def check_wrong_settings_are_told() -> None:
    assert "allocator_free_list" in raised(ValueError, lambda: ops().strikes("no_such_fault"))
