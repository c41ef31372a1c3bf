"""What a fresh interpreter leaves out until something is compiled."""

from __future__ import annotations

import subprocess
import sys

import pytest

# In fresh interpreters: this one has dynamo as soon as any test here has compiled something.
BEFORE = """
import sys
from stress.isolate.fork_server_main import preload
preload()
import torch
from stress.child.perturb.dispatch_cache import Recorder
from stress.child.without_dynamo import import_dynamo
def dynamo():
    return "torch._dynamo" in sys.modules
def record():
    with Recorder() as recorder:
        torch.special.airy_ai(torch.ones(2, device="meta"))
    return "aten.special_airy_ai.default" in recorder.names
"""


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestDynamo:
    @pytest.mark.slow
    def test_is_not_imported_by_modes_and_by_kernels_in_python(self) -> None:
        assert run("print(record(), dynamo())") == "True False"

    @pytest.mark.slow
    def test_disables_its_wrappers_again_once_something_is_compiled(self) -> None:
        code = """
wrapped = Recorder.__torch_dispatch__.__wrapped__
before = vars(wrapped)["__dynamo_disable"] is wrapped
compiled = torch.compile(lambda x: x + 1, backend="eager")
compiled(torch.ones(2))
recorded = record()
after = getattr(vars(wrapped)["__dynamo_disable"], "_torchdynamo_disable", False)
print(before, recorded, after, torch._dynamo.utils.counters["frames"]["ok"])
"""
        assert run(code) == "True True True 1"

    @pytest.mark.slow
    def test_can_be_imported_ahead(self) -> None:
        assert run("import_dynamo(); print(dynamo(), record())") == "True True"
