"""What a step may return beside tensors: texts, bytes, None, dataclasses, named tuples, arrays of NumPy's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.acceptance import Ran
from tests.acceptance import run_in

SOURCE = """
import dataclasses
from collections import namedtuple
from typing import Any, NamedTuple

@dataclasses.dataclass
class Usage:
    tokens: int
    note: str | None

@dataclasses.dataclass(frozen=True)
class Answer:
    text: str
    logits: torch.Tensor
    usage: Usage
    raw: bytes = b""

class Pair(NamedTuple):
    text: str
    logits: Any

def crew():
    return sum(one.name.startswith("crew") for one in threading.enumerate()) > 1

class Base(Scenario):
    __test__ = False
    iterations = 2
    def setup(self, device):
        torch.manual_seed(0)
        return torch.nn.Linear(4, 4).to(device)
    def make_input(self, generator):
        return torch.randn(4, generator=generator)

class Text(Base):
    def step(self, net, x):
        return f"reply {net(x)[0].item():.3f}"

class Longer(Base):
    "A wrong text that is longer than any right one."
    def step(self, net, x):
        return f"reply {net(x)[0].item():.3f}" + " and more" * 9 * crew()

class OfAnother(Base):
    def step(self, net, x):
        me = (stress.current().thread_index + crew()) % self.threads
        net(x)
        return f"reply to {me}, iteration {stress.current().iteration}"

class NoneInstead(Base):
    def step(self, net, x):
        return (net(x), None if crew() else "cached")

class AtTimesNone(Base):
    def step(self, net, x):
        return (net(x), "even" if stress.current().iteration % 2 else None)

class Nested(Base):
    def step(self, net, x):
        y = net(x)
        return {"answer": [Answer("é" * stress.current().thread_index, y, Usage(3, None), b"\\xff")]}

class WrongField(Base):
    def step(self, net, x):
        y = net(x)
        return Answer("fine", y, Usage(3 + crew(), "n"))

class Named(Base):
    def step(self, net, x):
        return Pair("pair", net(x))

class AsTheAuthorSees(Base):
    def step(self, net, x):
        return Answer("t", net(x), Usage(1, "n"))
    def compare(self, got, expected):
        assert type(got) is Answer and type(got.usage) is Usage and got.text == "t"
        return bool(torch.equal(got.logits, expected.logits))

class Array(Base):
    def step(self, net, x):
        import numpy
        return numpy.asarray(net(x).tolist(), dtype="float32"), numpy.float32(1.5)

class WrongArray(Base):
    def step(self, net, x):
        import numpy
        return numpy.asarray(net(x).tolist(), dtype=">f4") + crew()

class ArrayOfObjects(Base):
    def step(self, net, x):
        import numpy
        return net(x), numpy.asarray(["a", None], dtype=object)

class ATree(Base):
    def step(self, net, x):
        return net(x), {"lone": None}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """All readbacks: a digest must leave texts alone."""
    args = ("--mps-attempts=4", "--mps-threads=2", "--mps-perturb=off")
    return run_in(tmp_path_factory.mktemp("outputs"), SOURCE, *args)


class TestOutputs:
    @pytest.mark.parametrize(
        "name",
        ["Text", "AtTimesNone", "Nested", "Named", "AsTheAuthorSees", "Array", "ATree"],
    )
    def test_that_are_right_pass(self, ran: Ran, name: str) -> None:
        item = ran.items[f"{name}[t2]"]
        assert item["verdict"] == "pass", item["headline"]

    @pytest.mark.parametrize(
        ("name", "finding", "text"),
        [
            ("Longer", "unequal", "not what one thread gets; from character"),
            ("OfAnother", "cross-talk", "another iteration's right value, that of thread"),
            ("NoneInstead", "unequal", "not what one thread gets; None, expected 'cached'"),
            ("WrongField", "numeric", "wrong number; "),
            ("WrongArray", "numeric", "wrong number; "),
        ],
    )
    def test_that_are_wrong_are_named(self, ran: Ran, name: str, finding: str, text: str) -> None:
        ends = ran.ends(f"{name}[t2]")
        assert [one["verdict"] for one in ends] == ["mismatch"] * 4
        assert {one["findings"][0]["name"] for one in ends} == {finding}
        assert all(text in one["findings"][0]["text"] for one in ends), ends

    def test_that_cannot_be_compared_are_broken(self, ran: Ran) -> None:
        item = ran.items["ArrayOfObjects[t2]"]
        assert item["verdict"] == "broken"
        assert "returned an array of dtype object: return arrays of numbers" in item["headline"]


def test_looking_for_arrays_imports_no_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None; import torch; del sys.modules['numpy']\n"
        "from stress.child import tensor_tree\n"
        "leaves, spec = tensor_tree.flatten({'a': torch.ones(2), 'b': 'text'}, 'step')\n"
        "assert tensor_tree.unflatten(leaves, spec)['b'] == 'text'\n"
        "assert 'numpy' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
