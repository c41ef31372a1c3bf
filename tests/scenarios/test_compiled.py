"""What torch.compile's scenarios are compared with on a GPU: the function itself, which no compiler touched."""

from __future__ import annotations

import pytest
import torch

from stress.scenario.scenario import bind
from tests.scenarios.files import load


class TestTruthOfCompiled:
    @pytest.mark.parametrize("name", ["CompiledEager", "CompiledInductor"])
    @pytest.mark.parametrize(("tested", "is_compiled"), [("cuda", False), ("mps", False), ("cpu", True)])
    def test_the_cpu_compiles_only_where_it_is_tested(
        self, name: str, tested: str, is_compiled: bool
    ) -> None:
        scenarios = load("torch_compile")
        scenario = bind(getattr(scenarios, name), (), threads=2, device_type=tested)
        state = scenario.setup(torch.device("cpu"))
        assert (state["compiled"] is not scenarios._forward) == is_compiled
