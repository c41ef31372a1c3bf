"""Where a crew's value is wrong, the shared object that steps write is named; nothing that is not shared is."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress.child import tasks
from stress.model.blackbox import BlackBox
from stress.model.shared_write import SharedWrite
from stress.model.shared_write import from_data
from stress.model.shared_write import sentence
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from tests.acceptance import PROLOGUE
from tests.acceptance import Ran
from tests.acceptance import run_in

PACKAGE = """
import functools
import torch

_MASK = None
_CACHE = {}

def mask(size):
    global _MASK
    if _MASK is None:
        _MASK = torch.ones(size)
    return _MASK

def cached(size):
    if size not in _CACHE:
        _CACHE[size] = torch.ones(size)
    return _CACHE[size]

def with_default(x, calls=[]):
    calls.append(1)
    return x + 1

@functools.lru_cache
def memoised(size):
    return torch.ones(size)

class Counter:
    total = 0
    def add(self, x):
        type(self).total += 1
        return x + 1

class TinyGPT(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
        self.register_buffer("k_cache", torch.zeros(4))
        self.plain = torch.zeros(4)
    def forward(self, x):
        self.k_cache.copy_(x)
        return self.linear(self.k_cache)
"""

BASE = """
from mypkg import model

class Base(Scenario):
    __test__ = False
    iterations = 3
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
"""

FAILS = (
    BASE
    + """
class Overwrites(Base):
    "Fails each time: all threads have written when the first one reads."
    iterations = 1
    def setup(self, device):
        torch.manual_seed(0)
        return model.TinyGPT().to(device), threading.Barrier(self.threads)
    def step(self, state, x):
        net, barrier = state
        in_crew = sum(one.name.startswith("crew") for one in threading.enumerate()) == self.threads
        net.k_cache.copy_(x)
        if in_crew:
            barrier.wait()
        y = net.k_cache * 2
        if in_crew:
            barrier.wait()
        return y
"""
)

SOURCE = (
    BASE
    + """
class Buffer(Base):
    def setup(self, device):
        return model.TinyGPT().to(device)
    def step(self, net, x):
        return net(x)

class InInferenceMode(Base):
    def setup(self, device):
        with torch.inference_mode():
            return model.TinyGPT().to(device)
    def step(self, net, x):
        with torch.inference_mode():
            return net(x)

class ThroughData(Base):
    def setup(self, device):
        return {"net": model.TinyGPT().to(device)}
    def step(self, state, x):
        state["net"].plain.data.copy_(x)
        return x * 2

class Statistics(Base):
    def setup(self, device):
        return torch.nn.BatchNorm1d(4).to(device)
    def make_input(self, generator):
        return torch.randn(8, 4, generator=generator)
    def step(self, norm, x):
        return norm(x)

class Gradients(Base):
    def setup(self, device):
        return torch.nn.Linear(4, 4).to(device)
    def step(self, net, x):
        net(x).sum().backward()
        return x * 2

class Trains(Base):
    def setup(self, device):
        net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)).to(device)
        return net, torch.optim.Adam(net.parameters())
    def step(self, state, x):
        net, optimiser = state
        optimiser.zero_grad()
        net(x).sum().backward()
        optimiser.step()
        return x * 2

class Attribute(Base):
    def setup(self, device):
        self.last = None
    def step(self, state, x):
        self.last = x
        return x * 2

class Filled(Base):
    def step(self, state, x):
        return x * model.mask(4)

class FilledDict(Base):
    def step(self, state, x):
        return x * model.cached(4)

class Memoised(Base):
    def step(self, state, x):
        return x * model.memoised(4)

class Default(Base):
    def step(self, state, x):
        return model.with_default(x)

class OfAClass(Base):
    def step(self, state, x):
        return model.Counter().add(x)

class OwnGlobal(Base):
    def step(self, state, x):
        SEEN.append(1)
        return x * 2
SEEN = []

class OnlySetupWrites(Base):
    def setup(self, device):
        model.cached(7)
        self.table = torch.ones(4, device=device)
        return model.TinyGPT().to(device)
    def step(self, net, x):
        return net.linear(x) * self.table * model.cached(7).sum()

class PerThread(Base):
    sharing = "per-thread"
    def setup(self, device):
        return model.TinyGPT().to(device)
    def step(self, net, x):
        return net(x)

class PerThreadButShared(Base):
    sharing = "per-thread"
    def setup(self, device):
        if not hasattr(type(self), "net"):
            type(self).net = model.TinyGPT().to(device)
        return type(self).net
    def step(self, net, x):
        return net(x) * 0 + x

class OwnRow(Base):
    def setup(self, device):
        return [torch.zeros(4, device=device) for _ in range(self.threads)]
    def step(self, rows, x):
        own = rows[stress.current().thread_index]
        own.copy_(x)
        return own * 2

class ThreadLocal(Base):
    def setup(self, device):
        return threading.local()
    def step(self, state, x):
        state.value = x
        return state.value * 2

class InADict(Base):
    def setup(self, device):
        return {"sum": 0, "mask": None, 0: None, 1: None, 2: None}
    def step(self, state, x):
        state["sum"] += 1
        if state["mask"] is None:
            state["mask"] = torch.ones(4)
        state[stress.current().thread_index] = x
        return x * state["mask"]

class ByMainStep(Base):
    iterations = 1
    def setup(self, device):
        return model.TinyGPT().to(device)
    def main_step(self, net):
        net.plain.add_(1.0)
    def step(self, net, x):
        return net.linear(x)

class OneWriter(Base):
    def setup(self, device):
        return model.TinyGPT().to(device)
    def steps(self):
        return [self.writes, self.reads, self.reads]
    def writes(self, net, x):
        net.plain.fill_(1.0)
        return x * 2
    def reads(self, net, x):
        return x * 3
"""
)

NAMED = {
    "Buffer": [("TinyGPT.k_cache", "tensor", "step")],
    "InInferenceMode": [("TinyGPT.k_cache", "tensor", "step")],
    "ThroughData": [("TinyGPT.plain", "tensor", "step")],
    "Statistics": [
        ("BatchNorm1d.running_mean", "tensor", "step"),
        ("BatchNorm1d.running_var", "tensor", "step"),
        ("BatchNorm1d.num_batches_tracked", "tensor", "step"),
    ],
    "Gradients": [("Linear.weight.grad", "gradient", "step"), ("Linear.bias.grad", "gradient", "step")],
    "Trains": [
        ("Adam.state", "contents", "step"),
        ("4 parameters of Sequential", "parameter", "step"),
        ("the gradients of 4 parameters of Sequential", "gradient", "step"),
    ],
    "Attribute": [("Attribute.last", "attribute", "step")],
    "Filled": [("`_MASK` in module mypkg.model", "attribute", "the first step")],
    "FilledDict": [("`_CACHE` in module mypkg.model", "contents", "the first step")],
    "Memoised": [("`memoised` in module mypkg.model", "cache", "the first step")],
    "Default": [("`with_default.calls` in module mypkg.model", "contents", "step")],
    "OfAClass": [("`Counter.total` in module mypkg.model", "attribute", "step")],
    "OwnGlobal": [("`SEEN` in module subject", "contents", "step")],
    "OnlySetupWrites": [],
    "PerThread": [],
    "PerThreadButShared": [("TinyGPT.k_cache", "tensor", "step")],
    "OwnRow": [],
    "ThreadLocal": [],
    "InADict": [("state['sum']", "contents", "step"), ("state['mask']", "contents", "the first step")],
    "ByMainStep": [("TinyGPT.plain", "tensor", "main_step")],
    "OneWriter": [("TinyGPT.plain", "tensor", "the step of thread 0")],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The author's package and file, importable as in a child process."""
    folder = tmp_path_factory.mktemp("shared")
    write_package(folder)
    (folder / "subject.py").write_text(PROLOGUE.replace('"pytest" in sys.modules', "False") + SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield folder


def write_package(folder: Path) -> None:
    (folder / "mypkg").mkdir()
    (folder / "mypkg" / "__init__.py").touch()
    (folder / "mypkg" / "model.py").write_text(PACKAGE)


def stress_command(name: str, ran: Ran, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert ran.folder is not None
    command = [sys.executable, "-m", "stress.commands.cli", name, str(ran.folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("fails")
    write_package(folder)
    return run_in(folder, FAILS, "--mps-attempts=1", "--mps-threads=3", "-o", "pythonpath=.")


class TestTheSharedObject:
    @pytest.mark.parametrize("name", NAMED)
    def test_that_steps_write_is_found_by_the_reference(self, folder: Path, name: str) -> None:
        ref = ScenarioRef(str(folder / "subject.py"), "subject", name, ())
        spec = ChildSpec("reference", str(folder), name, "cpu", ref, threads=3)
        BlackBox.create(spec.file("blackbox"), 0)
        result = tasks.result_of(spec)
        assert not result["findings"]
        assert [tuple(one.values()) for one in result["shared_writes"]] == NAMED[name]

    def test_is_the_first_line_of_the_failure_block(self, ran: Ran) -> None:
        assert ran.items["Overwrites[t3]"]["verdict"] == "mismatch"
        lines = ran.text.splitlines()
        (at,) = [i for i, line in enumerate(lines) if line.startswith("Overwrites[t3]: MISMATCH in 1 of 1")]
        assert lines[at - 1] == "step writes TinyGPT.k_cache, which all threads share"

    def test_is_in_the_record_of_the_reference(self, ran: Ran) -> None:
        (end,) = ran.ends("Overwrites[t3]", role="reference")
        assert end["shared_writes"] == [{"name": "TinyGPT.k_cache", "kind": "tensor", "writer": "step"}]

    def test_is_on_the_page(self, ran: Ran, tmp_path: Path) -> None:
        page = tmp_path / "page.html"
        stress_command("report", ran, f"--output={page}")
        assert "<p>step writes TinyGPT.k_cache, which all threads share</p>" in page.read_text()

    def test_is_in_evidence_before_the_folded_part(self, ran: Ran) -> None:
        front, _, _ = stress_command("evidence", ran).stdout.partition("<details>")
        assert "\nstep writes TinyGPT.k_cache, which all threads share\n" in front

    def test_is_in_explain(self, ran: Ran) -> None:
        done = stress_command("explain", ran)
        assert re.search(r"shared +step writes TinyGPT.k_cache, which all threads share", done.stdout), done


class TestTheSentence:
    def test_says_who_writes_what(self) -> None:
        writes = [
            SharedWrite("A.x", "tensor", "step"),
            SharedWrite("`_M` in module m", "attribute", "the first step"),
            SharedWrite("A.y", "tensor", "step"),
        ]
        text = "step writes A.x and A.y; the first step writes `_M` in module m, which all threads share"
        assert sentence(writes) == text
        assert sentence(from_data(one.to_data() for one in writes)) == text
        assert sentence([]) == ""

    def test_names_three_and_counts_the_rest(self) -> None:
        writes = [SharedWrite(f"A.x{number}", "tensor", "step") for number in range(5)]
        assert sentence(writes) == (
            "step writes A.x0, A.x1, A.x2 and 2 more (in the record), which all threads share"
        )
