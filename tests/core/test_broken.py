"""A broken scenario is called broken, with a text that says what to change."""

from __future__ import annotations

import pytest

from tests.acceptance import Ran

SOURCE = """
class Base(Scenario):
    __test__ = False
    iterations = 2
    def setup(self, device):
        return torch.ones(4, device=device)
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
    def step(self, state, x):
        return state * x

class SetupRaises(Base):
    def setup(self, device):
        raise KeyError("weights")

class ReturnsNothing(Base):
    def step(self, state, x):
        state * x

class ReturnsAnObject(Base):
    def step(self, state, x):
        return x + 1, self

class ReturnsSparse(Base):
    def step(self, state, x):
        return x.to_sparse()

class GlobalGenerator(Base):
    def make_input(self, generator):
        return torch.randn(4)

class PythonGenerator(Base):
    def make_input(self, generator):
        import random
        return torch.tensor([random.random()])

class OsRandom(Base):
    def make_input(self, generator):
        return torch.tensor(list(os.urandom(4)))

class OnTheDevice(Base):
    def make_input(self, generator):
        return torch.empty(4, device="meta")

class StateDiffers(Base):
    def setup(self, device):
        return torch.tensor(list(os.urandom(8)))

class StatePerProcess(Base):
    def setup(self, device):
        return torch.tensor([os.getpid()])

class StructurePerThread(Base):
    def step(self, state, x):
        return (x, x) if stress.current().thread_index == 1 else x

class Blocks(Base):
    def setup(self, device):
        return threading.Barrier(self.threads)
    def step(self, state, x):
        state.wait()
        return x + 0

class NoThreads(Base):
    waves = [(0, 1)]

class UnknownSharing(Base):
    sharing = "sometimes"

class NoRoles(Base):
    def steps(self):
        return []

class CompareRaises(Base):
    def compare(self, got, expected):
        raise TypeError("compare is wrong")

class OrderDependent(Base):
    def setup(self, device):
        return []
    def step(self, state, x):
        state.append(1)
        return torch.tensor(len(state)) + 0

class RandomResult(Base):
    def step(self, state, x):
        return x + torch.rand(4)

class Unrepeatable(Base):
    def step(self, state, x):
        return x + int.from_bytes(os.urandom(2), "big")

class NeedsConftest(Base):
    def setup(self, device):
        return sys.modules["conftest"].WEIGHT
"""


@pytest.fixture(scope="class")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    from tests.acceptance import run_in

    folder = tmp_path_factory.mktemp("broken")
    (folder / "conftest.py").write_text("WEIGHT = 1\n")
    return run_in(folder, SOURCE, "--mps-attempts=1", "--mps-deadline=2")


class TestBrokenScenarios:
    @pytest.mark.parametrize(
        ("name", "verdict", "text"),
        [
            ("SetupRaises", "broken", "setup raised KeyError: 'weights'"),
            (
                "ReturnsNothing",
                "broken",
                "returned nothing to compare (None): return the tensors to be judged",
            ),
            ("ReturnsAnObject", "broken", "returned an object of class ReturnsAnObject"),
            ("ReturnsSparse", "broken", "only strided tensors are compared; return x.to_dense()"),
            ("GlobalGenerator", "broken", "draws from a global generator: pass generator=generator"),
            ("PythonGenerator", "broken", "draws from a global generator"),
            ("OsRandom", "broken", "two different inputs for one seed"),
            ("OnTheDevice", "broken", "return CPU tensors; the framework moves them"),
            ("StateDiffers", "broken", "setup must draw on the CPU and then move"),
            ("StatePerProcess", "broken", "different values in two processes with one seed"),
            ("StructurePerThread", "broken", "write a step function per role in steps()"),
            ("Blocks", "broken", "write reference(self, device, inputs)"),
            ("NoThreads", "broken", "every wave needs at least one thread and one iteration"),
            ("UnknownSharing", "broken", 'use "shared" or "per-thread"'),
            ("NoRoles", "broken", "steps() returned no step function"),
            ("CompareRaises", "broken", "compare raised TypeError: compare is wrong"),
            (
                "OrderDependent",
                "inconclusive",
                "the sequential orders give different integers, texts or shapes here",
            ),
            (
                "RandomResult",
                "inconclusive",
                "random results and results that depend on the order need compare()",
            ),
            ("Unrepeatable", "inconclusive", "one thread alone gives values"),
            ("NeedsConftest", "broken", "setup raised KeyError: 'conftest'"),
        ],
    )
    def test_the_text_says_what_to_change(self, ran: Ran, name: str, verdict: str, text: str) -> None:
        item = ran.items[f"{name}[t4]"]
        assert (item["verdict"], text in item["headline"]) == (verdict, True), item["headline"]

    def test_none_of_them_is_green(self, ran: Ran) -> None:
        ran.result.assert_outcomes(failed=20)
        assert ran.result.ret == pytest.ExitCode.TESTS_FAILED
