"""Nothing that goes wrong in a thread may end as a pass. Real threads, real child processes."""

from __future__ import annotations

import pytest

from tests.acceptance import Ran

# Peers report green on most of these (shared/peers.md 2.4): the regression suite, as scenarios.
STRICT = """
def threaded():
    return threading.current_thread().name.startswith("crew")

class Base(Scenario):
    __test__ = False
    iterations = 4
    def make_input(self, generator):
        return torch.randn(8, generator=generator)
    def step(self, state, x):
        self.misbehave(stress.current())
        return x * 2
    def misbehave(self, step):
        pass

class Exits(Base):
    def misbehave(self, step):
        if threaded() and step.thread_index == 1:
            raise SystemExit(0)

class ExitsEverywhere(Base):
    def misbehave(self, step):
        if threaded():
            raise SystemExit

class Interrupted(Base):
    def misbehave(self, step):
        if threaded() and step.thread_index == 2 and step.iteration == 1:
            raise KeyboardInterrupt

class Warns(Base):
    def misbehave(self, step):
        if threaded() and step.thread_index == 0:
            raise UserWarning("raised, not warned")

class Skips(Base):
    def misbehave(self, step):
        if threaded() and step.thread_index == 0:
            import pytest
            pytest.skip("one thread skips")

class Asserts(Base):
    def misbehave(self, step):
        assert not threaded() or step.thread_index != 3, "one thread is wrong"

class AssertsAlone(Base):
    def misbehave(self, step):
        assert step.thread_index != 3

class WarnsAlone(Base):
    def misbehave(self, step):
        if step.thread_index == 3:
            raise UserWarning("in the sequential run as well")

class RaisesAlike(Base):
    def misbehave(self, step):
        if step.thread_index == 3:
            raise ValueError("the same, threaded or not")

class RaisesAlone(Base):
    def misbehave(self, step):
        raise ValueError("always")

class Swallows(Base):
    def misbehave(self, step):
        if step.thread_index == 3 and not threaded():
            raise ValueError("only one thread alone sees this")

class DifferentErrors(Base):
    def misbehave(self, step):
        if threaded():
            raise RuntimeError(f"error of thread {step.thread_index}")

class InnerThread(Base):
    def misbehave(self, step):
        if threaded() and step.thread_index == 0:
            def inner():
                raise LookupError("in a thread of the step's own")
            one = threading.Thread(target=inner, name="inner")
            one.start()
            one.join()

class LeavesThread(Base):
    def misbehave(self, step):
        if threaded() and step.iteration == 0:
            threading.Thread(target=threading.Event().wait, name="left-over", daemon=True).start()

class Coroutine(Base):
    def misbehave(self, step):
        async def never():
            assert False
        if threaded():
            never()

class AsyncStep(Base):
    async def step(self, state, x):
        assert False

class GeneratorStep(Base):
    def step(self, state, x):
        yield x
        assert False

class ReturnsCoroutine(Base):
    def step(self, state, x):
        async def never():
            assert False
        return never()

class MainStepFails(Base):
    def main_step(self, state):
        if any(one.name.startswith("crew") for one in threading.enumerate()):
            raise OSError("the debugger thread fails")

class Finalizer(Base):
    def misbehave(self, step):
        class Bad:
            def __del__(self):
                raise ValueError("in a finaliser")
        if threaded() and step.iteration == 0:
            Bad()

class NeverArrives(Base):
    # The device refuses one thread before the barrier, as a pool without a free stream does.
    def setup(self, device):
        from stress.child.crew import Crew
        poison = Crew._poison
        def refuse(crew):
            if threading.current_thread().name == "crew-0-2":
                raise RuntimeError("no stream is free")
            poison(crew)
        Crew._poison = refuse

class Clean(Base):
    def main_step(self, state):
        pass
"""


@pytest.fixture(scope="class")
def strict(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run all cases once; every test of the class reads the records."""
    from tests.acceptance import run_in

    return run_in(tmp_path_factory.mktemp("strict"), STRICT, "--mps-threads=4", "--mps-attempts=2")


class TestStrictVerdicts:
    @pytest.mark.parametrize(
        ("name", "verdict", "texts"),
        [
            ("Exits", "race", ["SystemExit", "thread 1"]),
            ("ExitsEverywhere", "race", ["SystemExit"]),
            ("Interrupted", "race", ["KeyboardInterrupt", "thread 2"]),
            ("Warns", "race", ["UserWarning: raised, not warned", "thread 0"]),
            ("Skips", "race", ["Skipped: one thread skips"]),
            ("Asserts", "race", ["AssertionError: one thread is wrong", "thread 3"]),
            ("AssertsAlone", "error", ["one thread alone raises AssertionError"]),
            ("WarnsAlone", "error", ["one thread alone raises UserWarning"]),
            ("RaisesAlike", "pass", []),
            ("RaisesAlone", "error", ["one thread alone raises ValueError: always"]),
            ("Swallows", "race", ["the sequential run raises ValueError"]),
            ("DifferentErrors", "race", [f"error of thread {i}" for i in range(4)]),
            ("InnerThread", "race", ["thread 'inner' started by a step: LookupError"]),
            ("LeavesThread", "broken", ["left 4 threads running"]),
            ("Coroutine", "broken", ["was never awaited"]),
            ("AsyncStep", "broken", ["coroutine or generator function"]),
            ("GeneratorStep", "broken", ["coroutine or generator function"]),
            ("ReturnsCoroutine", "broken", ["returned a coroutine"]),
            ("MainStepFails", "race", ["main_step: OSError: the debugger thread fails"]),
            ("Finalizer", "race", ["ValueError: in a finaliser"]),
            ("NeverArrives", "race", ["thread 2: RuntimeError: no stream is free"]),
            ("Clean", "pass", []),
        ],
    )
    def test_a_misbehaving_thread_is_never_a_pass(
        self, strict: Ran, name: str, verdict: str, texts: list[str]
    ) -> None:
        item = strict.items[f"{name}[t4]"]
        assert item["verdict"] == verdict, item["headline"]
        attempts = [one for role in ("reference", "crew") for one in strict.ends(f"{name}[t4]", role)]
        findings = [
            f"thread {one.get('thread')}: {one['text']}"
            for attempt in attempts
            for one in attempt["findings"]
        ]
        for text in texts:
            assert any(text in finding for finding in findings), findings

    def test_a_finding_names_thread_and_iteration(self, strict: Ran) -> None:
        (finding, *_) = strict.ends("Interrupted[t4]")[0]["findings"]
        assert (finding["thread"], finding["iteration"]) == (2, 1)

    def test_every_thread_that_died_early_leaves_iterations_that_never_ran(self, strict: Ran) -> None:
        end = strict.ends("ExitsEverywhere[t4]")[0]
        # Of 16: each thread's first iteration ends it. On a busy machine one may be gone before the others have begun.
        assert 1 <= end["iterations_done"] <= 4
        assert sum(one["name"] == "not-run" for one in end["findings"]) >= 1

    def test_items_that_are_not_green_fail_in_pytest(self, strict: Ran) -> None:
        strict.result.assert_outcomes(passed=2, failed=20)


API = """
class Waves(Scenario):
    waves = [(3, 2), (5, 4)]
    def setup(self, device):
        self.seen, self.lock = [], threading.Lock()
        return torch.zeros(1, device=device)
    def make_input(self, generator):
        return torch.randn(8, generator=generator)
    def step(self, state, x):
        step = stress.current()
        with self.lock:
            self.seen.append((step.wave, step.thread_index, step.iteration, step.thread_count))
        return x + step.wave * 100 + step.thread_index
    def finish(self, state):
        expected = {(0, t, i, 3) for t in range(3) for i in range(2)} | {(1, t, i, 5) for t in range(5) for i in range(4)}
        return torch.tensor([set(self.seen) == expected, len(self.seen) == 26])

class Roles(Scenario):
    iterations = 3
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
    def steps(self):
        return [lambda state, x: x + 1, lambda state, x: (x, x * 2)]

class PerThread(Scenario):
    sharing = "per-thread"
    iterations = 6
    def setup(self, device):
        return {"count": torch.zeros(1, device=device)}
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
    def step(self, state, x):
        state["count"] += 1          # a race if it were shared
        time.sleep(0)
        return state["count"]        # an alias of state: must be cloned at once
    def finish(self, states):
        return torch.stack([one["count"] for one in states])

class MainStep(Scenario):
    iterations = 4
    def setup(self, device):
        return torch.ones(3, device=device)
    def make_input(self, generator):
        return torch.randn(2, generator=generator)
    def main_step(self, state):
        assert threading.current_thread() is threading.main_thread()
        repr(state)
    def step(self, state, x):
        return state + x.sum()

class WaitForEachOther(Scenario):
    iterations = 3
    threads_max = 4
    def setup(self, device):
        return threading.Barrier(self.threads)
    def make_input(self, generator):
        return torch.randn(2, generator=generator)
    def step(self, state, x):
        state.wait()
        return x * 3
    def reference(self, device, inputs):
        return [[x * 3 for x in of_thread] for of_thread in inputs]

class Acceptable(Scenario):
    iterations = 2
    acceptable = {"race": "this one may raise"}
    def make_input(self, generator):
        return torch.randn(2, generator=generator)
    def step(self, state, x):
        if threading.current_thread().name.startswith("crew"):
            raise RuntimeError("declared fine")
        return x + 0

class Found(Scenario):
    canary = True
    iterations = 2
    def make_input(self, generator):
        return torch.randn(2, generator=generator)
    def step(self, state, x):
        return x + threading.current_thread().name.startswith("crew")

class Unseen(Scenario):
    canary = True
    iterations = 2
    def make_input(self, generator):
        return torch.randn(2, generator=generator)
    def step(self, state, x):
        return x + 0

class TooMany(Scenario):
    threads_max = 2
    def step(self, state, x):
        return torch.ones(1) * stress.current().thread_index

class TooFew(Scenario):
    threads_min = 5
    def step(self, state, x):
        return torch.ones(1) * stress.current().thread_index

class NeedsStreams(Scenario):
    requires = ("streams",)
    def step(self, state, x):
        return torch.ones(1) * stress.current().thread_index

class Compiled(Scenario):
    iterations = 2
    def setup(self, device):
        return torch.compile(lambda x: x * 2 + 1, backend="eager")
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
    def step(self, state, x):
        return state(x)

class CompiledNever(Compiled):
    def step(self, state, x):
        return x + 0

class OneKernelPath(Scenario):
    iterations = 2
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
    def step(self, state, x):
        other = os.environ.get("SUBJECT_PATH") == "graph" or threading.current_thread().name.startswith("crew")
        return x * (2 if other else 3)

class KernelPaths(OneKernelPath):
    reference_envs = ({"SUBJECT_PATH": "graph"},)

class Parameters(Scenario):
    params = {"dtype": [torch.float32, torch.bfloat16], "size": [3, 4]}
    iterations = 2
    def make_input(self, generator):
        return torch.randn(self.size, generator=generator).to(self.dtype)
    def step(self, state, x):
        return x.exp().softmax(-1)
"""


@pytest.fixture(scope="class")
def api(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    from tests.acceptance import run_in

    return run_in(tmp_path_factory.mktemp("api"), API, "--mps-threads=4", "--mps-attempts=4", "-v", "-rs")


class TestScenarioApi:
    @pytest.mark.parametrize(
        "name",
        [
            "Waves[t4]",
            "Roles[t4]",
            "PerThread[t4]",
            "MainStep[t4]",
            "WaitForEachOther[t4]",
            "Acceptable[t4]",
            "Found[t4]",
            "Compiled[t4]",
            "KernelPaths[t4]",
            "Parameters[float32-3-t4]",
            "Parameters[float32-4-t4]",
            "Parameters[bfloat16-3-t4]",
            "Parameters[bfloat16-4-t4]",
        ],
    )
    def test_every_name_of_the_api_works(self, api: Ran, name: str) -> None:
        assert api.items[name]["verdict"] == "pass", api.items[name]["headline"]

    def test_without_the_other_path_a_value_of_it_is_wrong(self, api: Ran) -> None:
        assert api.items["OneKernelPath[t4]"]["verdict"] == "mismatch"

    def test_an_acceptable_verdict_is_told(self, api: Ran) -> None:
        assert api.items["Acceptable[t4]"]["verdicts"] == {"race": 4}
        assert "Acceptable?t4? PASSED" in api.text.replace("[", "?").replace("]", "?")

    def test_a_canary_must_be_found(self, api: Ran) -> None:
        assert api.items["Found[t4]"]["verdicts"] == {"mismatch": 4}
        assert "CANARY FOUND" in api.text
        assert api.items["Unseen[t4]"]["verdict"] == "inconclusive"
        assert "canary not found in 4 attempts" in api.items["Unseen[t4]"]["headline"]

    def test_what_does_not_apply_is_skipped_with_the_reason(self, api: Ran) -> None:
        for reason in (
            "runs with 2 or fewer threads: --mps-threads=2",
            "needs at least 5 threads: --mps-threads=5",
            "cpu here has no streams",
        ):
            assert reason in api.text

    def test_a_compiled_item_that_compiles_nothing_is_inconclusive(self, api: Ran) -> None:
        assert api.items["CompiledNever[t4]"]["verdict"] == "inconclusive"
        assert "no frame was compiled" in api.items["CompiledNever[t4]"]["headline"]

    def test_the_attempts_rotate_perturbation_and_readback(self, api: Ran) -> None:
        starts = [
            one
            for one in api.records
            if one["kind"] == "attempt_start" and one["role"] == "crew" and "::Waves[" in one["item"]
        ]
        assert {one["readback"] for one in starts} == {"every", "end", "digest", "every-4th"}
        assert {one["perturb"] for one in starts} == {"op", "line", "none", "opcode"}
