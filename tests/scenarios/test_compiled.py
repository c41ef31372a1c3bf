"""What torch.compile's scenarios are compared with on a GPU: the function itself, which no compiler touched."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from stress.scenario.scenario import bind

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def scenarios() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "compiled_scenarios", ROOT / "scenarios" / "torch_compile.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestTruthOfCompiled:
    @pytest.mark.parametrize("name", ["CompiledEager", "CompiledInductor"])
    @pytest.mark.parametrize(("tested", "is_compiled"), [("cuda", False), ("mps", False), ("cpu", True)])
    def test_the_cpu_compiles_only_where_it_is_tested(
        self, scenarios: ModuleType, name: str, tested: str, is_compiled: bool
    ) -> None:
        scenario = bind(getattr(scenarios, name), (), threads=2, device_type=tested)
        state = scenario.setup(torch.device("cpu"))
        assert (state["compiled"] is not scenarios._forward) == is_compiled
