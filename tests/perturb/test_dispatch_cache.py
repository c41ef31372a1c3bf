"""The operators of a step come to Python once before the crew starts, and none of them runs."""

from __future__ import annotations

import torch

from stress.perturb.dispatch_cache import Recorder
from stress.perturb.dispatch_cache import fill


def work() -> torch.Tensor:
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    x = torch.randn(2, 3, 8, requires_grad=True)
    loss = layer(x).sum() + torch.nn.functional.conv1d(x, torch.randn(4, 3, 2)).max()
    (gradient,) = torch.autograd.grad(loss, x)
    return gradient.nonzero().unique()


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
