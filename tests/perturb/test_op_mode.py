"""Op boundaries through a dispatch mode: stamps, other threads, errors, `torch.compile`."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch.utils import _python_dispatch

from stress.child.perturb import Perturbation
from stress.child.perturb.op_mode import OpBoundaries
from stress.child.perturb.schedule import Disturber
from tests.perturb import crew


def op_level(stamps: list[str] | None = None, level: str = "low", thread_index: int = 0) -> Perturbation:
    stamp = stamps.append if stamps is not None else None
    return Perturbation("op", level, seed=1, thread_index=thread_index, scope=crew.SCOPE, stamp=stamp)


class TestOps:
    def test_each_op_has_a_boundary_before_and_after_it_and_is_stamped_while_in_flight(self) -> None:
        stamps: list[str] = []
        x = torch.ones(3)
        with op_level(stamps) as perturbation:
            result = x + 1
            result.sum()
        assert stamps == ["aten.add.Tensor", "", "aten.sum.default", ""]
        assert perturbation.points == 4

    def test_values_are_those_without_perturbation(self) -> None:
        layer = torch.nn.Linear(8, 4)
        x = torch.randn(2, 8)
        expected = layer(x)
        with op_level(level="high"):
            got = layer(x)
        assert torch.equal(got, expected)

    def test_an_error_of_an_op_passes_unchanged_and_ends_its_stamp(self) -> None:
        stamps: list[str] = []
        with pytest.raises(RuntimeError) as plain:
            torch.ones(2) @ torch.ones(3)
        with pytest.raises(RuntimeError) as perturbed, op_level(stamps):
            torch.ones(2) @ torch.ones(3)
        assert str(perturbed.value) == str(plain.value)
        assert type(perturbed.value) is type(plain.value)
        assert stamps[-1] == ""

    def test_an_error_that_only_the_kernel_raises_passes_too(self) -> None:
        singular = torch.zeros(2, 2)
        with pytest.raises(RuntimeError, match="singular"), op_level():
            torch.linalg.inv(singular)

    def test_gradients_flow(self) -> None:
        x = torch.ones(3, requires_grad=True)
        with op_level() as perturbation:
            (x * x).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [2.0, 2.0, 2.0]
        assert perturbation.points > 4

    def test_a_pause_is_stamped_but_not_disturbed(self) -> None:
        stamps: list[str] = []
        x = torch.ones(3)
        with op_level(stamps) as perturbation:
            perturbation.pause()
            _ = x + 1
            perturbation.resume()
        assert perturbation.points == 0
        assert stamps == ["aten.add.Tensor", ""]


class TestCompile:
    def test_compilation_stays_on_under_the_mode(self) -> None:
        counter = CompileCounter()
        compiled = torch.compile(lambda x: x.sin() + 1, backend=counter)
        x = torch.randn(4)
        with op_level():
            got = compiled(x)
        assert counter.frame_count == 1
        assert torch.equal(got, x.sin() + 1)

    def test_the_override_is_what_keeps_it_on(self) -> None:
        """Without it torch compiles nothing, silently. When this fails, the override can go."""

        class Plain(_python_dispatch.TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
                return func(*args, **(kwargs or {}))

        counter = CompileCounter()
        compiled = torch.compile(lambda x: x.cos() + 1, backend=counter)
        with Plain():
            compiled(torch.randn(4))
        assert counter.frame_count == 0


class TestThreads:
    def test_flags_of_torch_are_as_before_when_all_threads_have_left(self) -> None:
        """Threads that enter and leave in any order left a module-global flag set in 23 of 30 crews."""
        names = [name for name in vars(_python_dispatch) if name.startswith("_is_in_")]
        before = {name: getattr(_python_dispatch, name) for name in names}
        first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

        def first() -> None:
            with op_level():
                first_in.set()
                second_in.wait(10)
            first_out.set()

        def second() -> None:
            first_in.wait(10)
            with op_level(thread_index=1):
                second_in.set()
                first_out.wait(10)

        threads = [threading.Thread(target=first), threading.Thread(target=second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert names
        assert {name: getattr(_python_dispatch, name) for name in names} == before

    def test_another_thread_under_the_owners_mode_touches_no_counter_and_no_stamp(self) -> None:
        """The autograd engine runs ops of a crew thread in its own thread, under that thread's mode."""
        stamps: list[str] = []
        disturber = Disturber("op", "high", 1, 0)
        boundaries = OpBoundaries(disturber, stamps.append)
        results: list[torch.Tensor] = []

        def engine() -> None:
            with boundaries._mode:
                results.append(torch.ones(2) + 1)

        thread = threading.Thread(target=engine)
        thread.start()
        thread.join()
        assert results[0].tolist() == [2.0, 2.0]
        assert (disturber.points, stamps) == (0, [])

    def test_a_crew_on_one_layer_gets_the_values_it_gets_alone(self) -> None:
        layer = torch.nn.Linear(16, 16)
        inputs = [torch.randn(4, 16) for _ in range(8)]
        expected = [layer(x) for x in inputs]
        got: list[torch.Tensor | None] = [None] * 8

        def work(index: int) -> None:
            torch.set_num_threads(1)
            with op_level(level="high", thread_index=index):
                for _ in range(20):
                    got[index] = layer(inputs[index])

        threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for value, right in zip(got, expected, strict=True):
            assert value is not None
            torch.testing.assert_close(value, right)


def test_importing_the_package_does_not_import_torch(tmp_path: Path) -> None:
    import subprocess
    import sys

    source = (
        "import sys, stress.child.perturb as p; "
        'exec(\'with p.Perturbation("line", "low", seed=1, thread_index=0, scope=p.TraceScope()): pass\'); '
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", source], check=False).returncode == 0
