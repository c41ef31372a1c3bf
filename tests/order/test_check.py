"""`stress.order.check()` in this process, on the CPU: what it sees, what it takes away again, and bad input."""

from __future__ import annotations

import concurrent.futures
import gc
import subprocess
import sys
import threading
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import stress
from stress.order import device_edges
from stress.order import session as session_module
from stress.order import storages as storages_module
from stress.order.session import OrderSession


def chance_order(first: Any, second: Any) -> None:
    """Run two threads whose order no lock makes."""
    done = [False]

    def early() -> None:
        first()
        done[0] = True

    def late() -> None:
        while not done[0]:
            pass
        second()

    threads = [threading.Thread(target=one) for one in (early, late)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def test_strict_finds_two_threads_on_one_tensor_and_says_where() -> None:
    x = torch.ones(8)
    with stress.order.check("strict") as found:
        chance_order(lambda: x.add_(1), lambda: x.mul_(2))
    [pair] = found
    assert (pair.kind, pair.hazard, found.unordered) == ("host-host", "WAW", 1)
    assert pair.signature == (
        "hazard=WAW kind=host-host op=aten::mul_.Tensor(self) prior=aten::add_.Tensor(self) device=cpu"
    )
    assert "test_check.py" in pair.later.line
    assert "test_check.py" in pair.earlier.line
    assert "late" in pair.later.where
    assert "early" in pair.earlier.where
    assert str(found).startswith("UNORDERED  write after write")
    assert "2 accesses, 1 unordered" in str(found)


def test_level_device_is_silent_about_threads() -> None:
    x = torch.ones(8)
    with stress.order.check() as found:
        chance_order(lambda: x.add_(1), lambda: x.mul_(2))
    assert not found
    assert found.findings == []


@pytest.mark.parametrize("how", ["lock", "event", "barrier", "condition", "semaphore", "pool", "join"])
def test_strict_knows_what_orders_threads(how: str) -> None:
    x = torch.ones(8)
    with stress.order.check("strict") as found:
        if how == "pool":
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                pool.submit(x.add_, 1).result()
                pool.submit(x.mul_, 2).result()
        elif how == "join":
            for work in (lambda: x.add_(1), lambda: x.mul_(2)):
                thread = threading.Thread(target=work)
                thread.start()
                thread.join()
        else:
            before, after = ordered_by(how)
            chance_order(lambda: (x.add_(1), before()), lambda: (after(), x.mul_(2)))
    assert found.findings == []
    assert found.accesses >= 2


def ordered_by(how: str) -> tuple[Any, Any]:
    if how == "lock":
        lock = threading.Lock()

        def pass_through() -> None:
            with lock:
                pass

        return pass_through, pass_through
    if how == "event":
        event = threading.Event()
        return event.set, event.wait
    if how == "semaphore":
        semaphore = threading.Semaphore(0)
        return semaphore.release, semaphore.acquire
    if how == "condition":
        condition = threading.Condition()

        def touch() -> None:
            with condition:
                condition.notify_all()

        return touch, touch
    # The early thread goes through the barrier in a third one: it must not wait for the late one, which waits for it.
    barrier = threading.Barrier(2)
    return (lambda: threading.Thread(target=barrier.wait, daemon=True).start()), barrier.wait


def test_backward_is_ordered_with_its_caller() -> None:
    w = torch.ones(4, 4, requires_grad=True)
    with stress.order.check("strict") as found:
        for _ in range(3):
            (w * w).sum().backward()
        assert w.grad is not None
        w.grad.zero_()
    assert found.findings == []
    assert found.accesses > 10


def test_a_check_inside_another_is_an_error_with_the_way_out() -> None:
    with stress.order.check(), pytest.raises(RuntimeError, match=r"running already.*leave that one first"):
        stress.order.check().__enter__()
    with stress.order.check():  # the refused one left nothing behind
        pass


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="choose one of device, strict"):
        stress.order.check("loose")


def test_all_hooks_are_gone_afterwards() -> None:
    from torch.autograd import graph

    def hooks() -> list[object]:
        return [
            threading.Thread.start, threading.Thread.join, threading.Lock, threading.RLock,
            vars(torch.Tensor).get("numpy"), vars(torch.Tensor).get("tolist"), graph._engine_run_backward,
            torch._C._len_torch_dispatch_stack(), OrderSession.active, torch._C._mps_recordEvent,
        ]  # fmt: skip

    before = hooks()
    with pytest.raises(ZeroDivisionError), stress.order.check("strict"):
        raise ZeroDivisionError
    assert hooks() == before


def test_an_operator_that_raises_counts_for_nothing() -> None:
    x, y = torch.ones(8), torch.ones(3)

    def fails() -> None:
        with pytest.raises(RuntimeError):
            x.add_(y)

    with stress.order.check("strict") as found:
        chance_order(fails, lambda: x.mul_(2))
    assert found.findings == []
    assert found.accesses == 1


def test_other_modes_above_and_below_see_what_they_saw() -> None:
    class Counting(TorchDispatchMode):
        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.names.append(str(func))
            return func(*args, **(kwargs or {}))

    x, below, above = torch.ones(8), Counting(), Counting()
    with below, stress.order.check("strict") as found:
        with above:
            x.add_(1)
        x.mul_(2)
    assert above.names == ["aten.add_.Tensor"]
    assert below.names == ["aten.add_.Tensor", "aten.mul_.Tensor"]
    assert found.accesses == 2


def test_fake_tensors_are_no_memory() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with stress.order.check("strict") as found, FakeTensorMode():
        (torch.ones(4) + 1).sum()
    assert found.findings == []


def test_compiled_code_still_compiles() -> None:
    calls: list[int] = []

    def backend(graph: Any, _: Any) -> Any:
        calls.append(1)
        return graph.forward

    compiled = torch.compile(lambda x: x * 2 + 1, backend=backend, fullgraph=True)
    with stress.order.check("strict") as found:
        assert compiled(torch.ones(4)).tolist() == [3.0] * 4
    assert calls == [1]
    assert found.findings == []


def test_a_check_inside_a_full_graph_is_refused_by_torch_and_leaves_nothing() -> None:
    def checked(x: torch.Tensor) -> torch.Tensor:
        with stress.order.check():
            return x + 1

    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r"with stress\.order\.check\(\)"):
        torch.compile(checked, backend="eager", fullgraph=True)(torch.ones(2))
    assert OrderSession.active is None
    assert torch.compile(checked, backend="eager")(torch.ones(2)).tolist() == [2.0, 2.0]
    assert OrderSession.active is None


def test_a_mode_that_cannot_be_entered_leaves_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("no mode can be entered here")

    start = threading.Thread.start
    monkeypatch.setattr(session_module._Mode, "__enter__", refuse)
    with pytest.raises(RuntimeError, match="no mode can be entered here"):
        stress.order.check("strict").__enter__()
    assert OrderSession.active is None
    assert threading.Thread.start is start
    monkeypatch.undo()
    with stress.order.check("strict") as found:
        torch.ones(2).add_(1)
    assert found.accesses


def test_sparse_tensors_are_counted_as_not_seen() -> None:
    sparse = torch.eye(4).to_sparse()
    with stress.order.check("strict") as found:
        sparse + sparse
    assert found.not_seen["tensors without plain storage"] > 0
    assert "not seen" in found.summary


def test_many_tensors_leave_nothing_behind() -> None:
    with stress.order.check("strict"):
        session = OrderSession.active
        assert session is not None
        kept = torch.ones(4)
        for _ in range(2000):
            kept.add_(torch.ones(4))
        gc.collect()
        session._storages.drain()
        assert len(session._storages) < 10


def test_more_tensors_than_are_kept_are_forgotten_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storages_module, "STORAGES_MAX", 100)
    with stress.order.check("strict") as found:
        session = OrderSession.active
        assert session is not None
        first = torch.ones(4)
        kept = [torch.ones(4) for _ in range(250)]
        assert 93 <= len(session._storages) <= 100
        assert session._storages.host_count == len(session._storages)
        chance_order(lambda: kept[-1].add_(1), lambda: kept[-1].mul_(2))
        chance_order(lambda: first.add_(1), lambda: first.mul_(2))
        kept.clear()
        gc.collect()
        session._storages.drain()
        assert len(session._storages) == session._storages.host_count == 1
    assert len({one.later.line for one in found}) == 2, "what is used again is kept again"
    assert 150 <= found.not_seen["storages forgotten"] <= 160
    assert " storages forgotten" in found.summary


def test_many_more_tensors_than_are_kept_take_bounded_memory() -> None:
    """All of them alive at once. With a million, and as many kept as by default, it came to the same in two minutes."""
    done = subprocess.run(
        [sys.executable, "-c", MANY], capture_output=True, text=True, timeout=800, check=True
    )
    kept, forgotten, bytes_each = map(int, done.stdout.split())
    assert kept <= 5_000
    assert kept + forgotten == 100_000
    assert bytes_each < 1000, "of the checker's own, for each tensor"


MANY = """
import psutil, torch, stress
from stress.order import storages
from stress.order.session import OrderSession
storages.STORAGES_MAX = 5_000
process = psutil.Process()
before = process.memory_info().rss
plain = [torch.ones(4) for _ in range(50_000)]
each = (process.memory_info().rss - before) / 50_000
before = process.memory_info().rss
with stress.order.check("strict") as found:
    kept = [torch.ones(4) for _ in range(100_000)]
    size = len(OrderSession.active._storages)
    grown = (process.memory_info().rss - before) / 100_000
print(size, found.not_seen["storages forgotten"], int(grown - each))
"""


def test_two_threads_that_draw_from_one_generator() -> None:
    x, y = torch.ones(8), torch.ones(8)
    mine = torch.Generator()
    with stress.order.check("strict") as found:
        chance_order(lambda: x.normal_(generator=mine), lambda: torch.rand(3, generator=mine))
        chance_order(lambda: x.mul_(2), lambda: torch.bernoulli(y))
    [pair] = found
    assert pair.signature == (
        "hazard=WAW kind=generator op=aten::rand.generator prior=aten::normal_ device=cpu"
    )
    assert pair.title == (
        "write after write, random state, two threads without an order: the state of a generator of cpu"
    )
    assert "generator of its own" in pair.remedy
    assert "test_check.py" in pair.later.line


def test_what_draws_nothing_shares_no_generator() -> None:
    functional, x = torch.nn.functional, torch.ones(1, 2, 4, 8)
    calls = (
        lambda: functional.scaled_dot_product_attention(x, x, x),
        lambda: functional.dropout(x, 0.5, training=False),
        lambda: torch.rrelu(x, training=False),
        lambda: torch.native_dropout(x, 0.5, False),
    )
    with stress.order.check("strict") as found:
        for one in calls:
            chance_order(lambda: torch.rand(3, generator=torch.Generator()), one)
        chance_order(
            lambda: torch.rand(3, generator=torch.Generator()),
            lambda: torch.rand(3, generator=torch.Generator()),
        )
    assert found.findings == []


def test_kernels_of_ones_own_are_seen_if_they_are_named() -> None:
    x = torch.ones(8)
    with stress.order.check("strict") as found:
        chance_order(lambda: x.add_(1), lambda: stress.order.touches(reads=[x], name="my_kernel"))
    assert [one.later.op for one in found] == ["my_kernel"]
    stress.order.touches(reads=[x])  # outside a check: nothing


def test_a_torch_without_the_trace_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch._C, "_activate_gpu_trace")
    with stress.order.check() as found:
        pass
    assert "no GPU trace" in found.summary


def test_a_callback_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch logs and swallows what a callback of its trace raises."""
    with stress.order.check() as found:
        device_edges._forward("mps", "event_awaited")("not", "two", "numbers")
    assert "a callback failed (event_awaited: TypeError" in found.summary


def touches_of(call: Any) -> dict[str, bool]:
    """Return argument -> whether it is written, of all operators that `call` runs."""
    from stress.order.op_plan import plan_of

    found: dict[str, bool] = {}

    class Looking(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            plan = plan_of(func)
            assert plan is not None
            found.update(
                {
                    f"{plan.name}({argument})": is_write
                    for _, argument, is_write in plan.touches(args, kwargs or {})
                }
            )
            return func(*args, **(kwargs or {}))

    with Looking():
        call()
    return found


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_writes_its_statistics_in_training_alone(training: bool) -> None:
    norm, x = torch.nn.BatchNorm1d(4).train(training), torch.ones(3, 4)
    assert touches_of(lambda: norm(x))["aten::native_batch_norm(running_mean)"] is training


def test_a_fused_optimiser_reads_gradients() -> None:
    w = torch.ones(4, requires_grad=True)
    w.grad = torch.ones(4)
    optimiser = torch.optim.SGD([w], lr=0.1, fused=True)
    touched = touches_of(optimiser.step)
    assert touched["aten::_fused_sgd_(self)"]
    assert touched["aten::_fused_sgd_(grads)"] is False


def test_factories_and_views_read_nothing() -> None:
    x = torch.ones(4, 4)
    assert touches_of(lambda: (x.new_zeros(3), torch.zeros_like(x), x.t(), x[1:], x.detach())) == {}
