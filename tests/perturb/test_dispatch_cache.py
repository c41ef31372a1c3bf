"""The operators of a step come to Python once before the crew starts, and none of them runs."""

from __future__ import annotations

import subprocess
import sys

import torch

from stress.child.perturb.dispatch_cache import Recorder
from stress.child.perturb.dispatch_cache import fill
from stress.child.perturb.dispatch_cache import resolve_all


def work() -> torch.Tensor:
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    x = torch.randn(2, 3, 8, requires_grad=True)
    loss = layer(x).sum() + torch.nn.functional.conv1d(x, torch.randn(4, 3, 2)).max()
    (gradient,) = torch.autograd.grad(loss, x)
    return gradient.nonzero().unique()


class TestResolving:
    def test_nearly_all_operators_are_looked_up_and_kept(self) -> None:
        assert resolve_all() > 0.95 * len(torch._C._dispatch_get_all_op_names())
        assert "range" in vars(torch.ops.aten)

    def test_a_forked_child_inherits_it(self) -> None:
        """The server must have done it: in a child it would be paid for by every attempt."""
        code = (
            "import torch; from stress.isolate.fork_server_main import preload; preload();"
            "print('torch._dynamo' in __import__('sys').modules, 'range' in vars(torch.ops.aten))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.split() == ["True", "True"]


class TestFilling:
    def test_nearly_every_operator_of_real_work_is_reached(self) -> None:
        with Recorder() as recorder:
            work()
        assert len(recorder.names) > 20
        assert fill(recorder.names) >= 0.9 * len(recorder.names)

    def test_no_kernel_runs(self) -> None:
        before = torch.get_rng_state()
        assert fill(["aten.normal_.default", "aten.randn.default", "aten.bernoulli.default"]) >= 2
        assert torch.equal(before, torch.get_rng_state())

    def test_a_name_that_is_no_operator_is_passed_over(self) -> None:
        assert fill(["aten.no_such_operator.default", "nonsense.a.b"]) == 0
