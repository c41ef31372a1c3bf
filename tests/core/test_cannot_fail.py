"""A scenario that could not have failed is inconclusive, with what to change; one that says why it looks so is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance import Ran
from tests.acceptance import run_in

SOURCE = """
from stress import exact

class Base(Scenario):
    __test__ = False
    iterations = 2
    def setup(self, device):
        torch.manual_seed(0)
        return torch.nn.Linear(4, 4).to(device)
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
    def step(self, net, x):
        return net(x)

class NoTensor(Base):
    def make_input(self, generator):
        return [1] * int(torch.randint(9, (1,), generator=generator))
    def step(self, net, x):
        return len(x)

class OnlyViews(Base):
    def step(self, net, x):
        return x.view(2, 2)

class NoInput(Base):
    make_input = Scenario.make_input
    def step(self, net, x):
        return net(torch.ones(4))

class EqualInputs(Base):
    def make_input(self, generator):
        return {"x": torch.ones(4), "name": "a"}
    def step(self, net, x):
        return net(x["x"])

class Constant(Base):
    def step(self, net, x):
        net(x)
        return 1

class AllCaught(Base):
    def step(self, net, x):
        try:
            return net(x) + net(x, x)
        except Exception:
            return 0

class Right(Base):
    pass

class FromItsThread(Base):
    "No input, but values that differ."
    make_input = Scenario.make_input
    def step(self, net, x):
        return net(torch.full((4,), float(stress.current().thread_index)))

class Exact(Base):
    def step(self, net, x):
        return exact.total([exact.count_wrong(torch.ones(4) + 1, 2.0)])

class Exempt(Base):
    exempt = {"equal outputs": "it asserts by itself"}
    def step(self, net, x):
        return int(torch.equal(net(x), net(x)))

class Refused(Base):
    "An operator that the device refuses has been asked, too; its reason is judged."
    def make_input(self, generator):
        return torch.randn(3, 3, generator=generator).half()
    def step(self, net, x):
        try:
            return torch.linalg.svd(x)[1]
        except RuntimeError:
            return x
    def compare(self, got, expected):
        return bool(torch.equal(got, expected))

class PurePython(Base):
    exempt = {"no device work": "a dict of Python is the subject"}
    def step(self, net, x):
        return float(x[0])

class OwnReference(Base):
    def step(self, net, x):
        return (net(x) * 0).sum()
    def reference(self, device, inputs):
        return [[torch.tensor(0.0) for _ in one] for one in inputs]

class Arbiter(Base):
    def step(self, net, x):
        net(x)
        return 0
    def finish(self, net):
        return net.weight

class MovesState(Base):
    def setup(self, device):
        return torch.ones(4, device="meta")
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    args = ("--mps-attempts=1", "--mps-threads=2", "--mps-perturb=off", "-v")
    return run_in(tmp_path_factory.mktemp("cannot_fail"), SOURCE, *args)


class TestOneThread:
    def test_is_no_pass(self, tmp_path: Path) -> None:
        source = SOURCE.partition("class NoTensor")[0] + "class Right(Base):\n    pass\n"
        ran = run_in(tmp_path, source, "--mps-threads=1", "--mps-attempts=1", "-v")
        assert ran.result.ret == 0
        assert "PASSED" not in ran.text
        assert "Right[t1] ONE THREAD" in ran.text
        assert "1 item ran on one thread: nothing about threads was tested (--mps-threads=8)" in ran.text
        assert "a failure rate below" not in ran.text


class TestAScenarioThatCannotFail:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("NoTensor", "no step ran an operator on the device (cpu), so nothing of it was tested"),
            ("OnlyViews", "no step ran an operator on the device (cpu)"),
            ("NoInput", "every step gets the same input and returns the same value ([-0."),
            ("EqualInputs", "draw x from `generator` in make_input(), and compute with it"),
            ("Constant", "step returns the same value for all inputs ([1]), so a value of another thread"),
            ("AllCaught", "step returns the same value for all inputs ([0])"),
        ],
    )
    def test_is_inconclusive_with_what_to_change(self, ran: Ran, name: str, text: str) -> None:
        item = ran.items[f"{name}[t2]"]
        assert (item["verdict"], text in item["headline"]) == ("inconclusive", True), item["headline"]
        assert 'Is it meant so? Write exempt = {"' in item["headline"]

    @pytest.mark.parametrize(
        "name",
        ["Right", "FromItsThread", "Exact", "Exempt", "Refused", "PurePython", "OwnReference", "Arbiter"],
    )
    def test_is_not_one_that_can(self, ran: Ran, name: str) -> None:
        assert ran.items[f"{name}[t2]"]["verdict"] == "pass"

    def test_that_makes_its_state_elsewhere_gets_one_sentence(self, ran: Ran) -> None:
        item = ran.items["MovesState[t2]"]
        assert item["verdict"] == "broken"
        text = "setup(device) was called with cpu and made tensors on meta: use `device`, as in .to(device)"
        assert item["headline"] == f"scenario: {text}"
        assert "Traceback" not in ran.text
