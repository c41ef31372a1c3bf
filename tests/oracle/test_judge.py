"""The rules of the oracle, each on a real scenario whose outcome is tampered with. In-process, on the CPU."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from stress import Scenario
from stress import current
from stress.child.oracle.digest import ramps
from stress.child.oracle.expectation import Expected
from stress.child.oracle.expectation import same_run
from stress.child.oracle.judge import Judge
from stress.child.oracle.judge import Judgement
from stress.child.oracle.reference import Reference
from stress.child.oracle.reference import ReferenceMaker
from stress.child.oracle.reference import _check_alone
from stress.child.oracle.reference import _digest_runs
from stress.child.oracle.reference import digest_run
from stress.child.oracle.sequential import Run
from stress.child.oracle.sequential import run_sequence
from stress.child.tasks import _alone_findings
from stress.child.workload import Workload
from stress.device.devices import Cpu
from stress.model.plan import Plan

CPU = torch.device("cpu")
Tamper = Callable[[Run], object]


def workload_of(cls: type[Scenario], threads: int = 3, iterations: int = 4) -> Workload:
    scenario = cls()
    scenario.threads, scenario.device_type = threads, "cpu"
    return Workload(scenario, Plan.make([(threads, iterations)]), seed=7)


def judge(
    cls: type[Scenario], tamper: Tamper, *, order: str = "thread-by-thread", by_digest: bool = False
) -> Judgement:
    """Make references, run once more in `order`, tamper with the outcomes, and judge them."""
    workload = workload_of(cls)
    reference = ReferenceMaker(workload, Cpu()).make()
    run = run_sequence(workload, CPU, workload.make_inputs(), order)
    tamper(run)
    expected = reference.full
    if by_digest:
        expected = reference.digests
        run = digest_run(run, ramps(reference.elements_max, CPU))
    slots = len(workload.plan.slots)
    judge_ = Judge(workload.scenario, workload.plan, [expected], varies_alone=reference.varies_alone)
    return judge_.judge(run[:slots], run[slots:])


class Softmax(Scenario):
    """Floating values with a real rounding error."""

    def setup(self, device: torch.device) -> Any:
        return torch.randn(16, 16)

    def make_input(self, generator: torch.Generator) -> Any:
        return torch.randn(4, 16, generator=generator)

    def step(self, state: Any, x: Any) -> Any:
        return {"y": (x @ state).softmax(-1), "sum": x.sum()}


class Accumulate(Scenario):
    """The order of additions shows in the last bits, and only there."""

    def setup(self, device: torch.device) -> Any:
        return torch.zeros(8)

    def make_input(self, generator: torch.Generator) -> Any:
        return torch.randn(8, generator=generator) * 1e3

    def step(self, state: Any, x: Any) -> Any:
        state.add_(x)
        return x

    def finish(self, state: Any) -> Any:
        return state


def first_leaf(run: Run, slot: int = 5, leaf: int = 0) -> torch.Tensor:
    return run[slot].leaves[leaf]


class TestTheErrorBudget:
    def test_the_sequential_value_itself_is_right_bitwise(self) -> None:
        judged = judge(Softmax, lambda run: None)
        assert (judged.findings, judged.notes, judged.bitwise) == ([], [], 24)

    def test_a_last_bit_is_another_kernel_path(self) -> None:
        judged = judge(Softmax, lambda run: first_leaf(run).mul_(1 + 2e-7))
        assert judged.findings == []
        assert [note.split(":")[0] for note in judged.notes] == ["other kernel path"]

    def test_more_than_the_cpus_own_error_is_wrong(self) -> None:
        (finding,) = judge(Softmax, lambda run: first_leaf(run).mul_(1 + 1e-4)).findings
        assert (finding.verdict, finding.name, finding.thread, finding.iteration) == (
            "mismatch",
            "numeric",
            1,
            1,
        )
        assert finding.error_max is not None
        assert finding.error_allowed is not None
        assert finding.error_max > finding.error_allowed

    @pytest.mark.parametrize("by_digest", [False, True])
    def test_a_value_of_another_thread_is_named_with_its_owner(self, by_digest: bool) -> None:
        def swap(run: Run) -> None:
            run[5].leaves = [leaf.clone() for leaf in run[9].leaves]

        findings = judge(Softmax, swap, by_digest=by_digest).findings
        assert {(one.name, one.whose) for one in findings} == {("cross-talk", "thread 2 iteration 1")}
        assert {one.output for one in findings} == {0, 1}

    def test_an_earlier_value_of_the_same_thread_is_stale(self) -> None:
        def repeat(run: Run) -> None:
            run[6].leaves = [leaf.clone() for leaf in run[4].leaves]

        findings = judge(Softmax, repeat).findings
        assert {(one.name, one.whose) for one in findings} == {("stale", "thread 1 iteration 0")}

    def test_another_shape_dtype_or_structure_is_wrong(self) -> None:
        def reshape(run: Run) -> None:
            run[1].leaves[0] = run[1].leaves[0][:2]
            run[2].leaves[0] = run[2].leaves[0].double()

        assert [one.name for one in judge(Softmax, reshape).findings] == ["shape", "shape"]

    def test_an_overflow_of_the_narrow_dtype_is_no_error(self) -> None:
        class Overflows(Softmax):
            def step(self, state: Any, x: Any) -> Any:
                return (x.half() * 60000).flatten()

        assert judge(Overflows, lambda run: None).findings == []
        (finding,) = judge(Overflows, lambda run: first_leaf(run).fill_(float("inf"))).findings
        assert finding.name == "nan"

    def test_parameters_that_name_a_dtype_are_widened_for_the_exact_run(self) -> None:
        class Half(Softmax):
            dtype = torch.bfloat16
            params = {"dtype": [torch.bfloat16]}

            def step(self, state: Any, x: Any) -> Any:
                return (x.to(self.dtype) @ state.to(self.dtype)).tanh()

        workload = workload_of(Half)
        reference = ReferenceMaker(workload, Cpu()).make()
        assert reference.no_exact == ""
        assert {leaf.dtype for one in reference.full for leaf in one.exact} == {torch.float64}
        assert judge(Half, lambda run: first_leaf(run).mul_(1 + 2**-7)).findings == []
        assert [one.name for one in judge(Half, lambda run: first_leaf(run).mul_(3.0)).findings] == [
            "numeric"
        ]


class TestOrders:
    def test_values_that_vary_with_the_order_pass_within_their_spread(self) -> None:
        judged = judge(Accumulate, lambda run: run[-1].leaves[0].add_(1e-4), order="thread-by-thread")
        assert judged.findings == []
        assert any(note.startswith("order-dependent") for note in judged.notes)

    def test_a_lost_addition_is_wrong_all_the_same(self) -> None:
        (finding,) = judge(Accumulate, lambda run: run[-1].leaves[0].sub_(run[0].leaves[0])).findings
        assert finding.verdict == "mismatch"
        assert finding.thread is None

    def test_integers_that_vary_with_the_order_are_inconclusive(self) -> None:
        class Counts(Accumulate):
            def setup(self, device: torch.device) -> Any:
                return []

            def step(self, state: Any, x: Any) -> Any:
                state.append(1)
                return torch.tensor(len(state))

            def finish(self, state: Any) -> Any:
                return torch.tensor(len(state))

        def shift(run: Run) -> None:
            run[4].leaves[0] += 1

        for change in (shift, lambda run: None):
            findings = judge(Counts, change).findings
            assert {(one.verdict, one.name) for one in findings} == {("inconclusive", "order-dependent")}

    def test_random_results_are_inconclusive_in_whatever_order_the_threads_ran(self) -> None:
        """On a busy machine threads run one after another, and draw what one of the sequential orders drew."""

        class Random(Softmax):
            def step(self, state: Any, x: Any) -> Any:
                return x + torch.rand(16)

        findings = judge(Random, lambda run: None).findings
        assert {(one.verdict, one.name) for one in findings} == {("inconclusive", "tolerance too wide")}

    def test_a_step_that_changes_its_input_gets_a_fresh_copy_each_time(self) -> None:
        class InPlace(Softmax):
            def step(self, state: Any, x: Any) -> Any:
                return x.mul_(2)

        workload = workload_of(InPlace)
        reference = ReferenceMaker(workload, Cpu()).make()
        assert all(len(one.variants) == 1 for one in reference.full)
        assert judge(InPlace, lambda run: None).findings == []

    def test_noise_within_the_budget_passes_with_a_note(self) -> None:
        class Noisy(Softmax):
            def step(self, state: Any, x: Any) -> Any:
                return torch.ones(64) * (1 + os.urandom(1)[0] * 2.0**-31)

        judged = judge(Noisy, lambda run: None)
        assert judged.findings == []
        assert any(note.startswith("nondeterministic alone") for note in judged.notes)

    def test_eight_runs_are_taken_when_two_differ(self) -> None:
        class Noisy(Softmax):
            def step(self, state: Any, x: Any) -> Any:
                return torch.ones(64) + int.from_bytes(os.urandom(2), "big")

        reference = ReferenceMaker(workload_of(Noisy), Cpu()).make()
        assert reference.runs == 8 + 2
        assert [one.name for one in _alone_findings(reference)] == ["device not repeatable"]


class TestPathsAndComparison:
    def test_a_value_of_any_kernel_path_passes(self) -> None:
        workload = workload_of(Softmax)
        reference = ReferenceMaker(workload, Cpu()).make()
        other = ReferenceMaker(workload, Cpu(), device_only=True).make()
        for one in other.full:
            one.variants = [[leaf * 1.25 for leaf in one.variants[0]]]
        run = run_sequence(workload, CPU, workload.make_inputs(), "thread-by-thread")
        run[3].leaves = [leaf * 1.25 for leaf in run[3].leaves]

        def findings(paths: list[list[Expected]]) -> int:
            return len(
                Judge(workload.scenario, workload.plan, paths, varies_alone=False).judge(run, []).findings
            )

        assert findings([reference.full]) == 2
        assert findings([reference.full, other.full]) == 0

    def test_the_authors_compare_replaces_ours(self) -> None:
        class Signless(Softmax):
            def compare(self, got: Any, expected: Any) -> bool | str:
                return torch.allclose(got["y"].abs(), expected["y"].abs()) or "differs by more than its sign"

        def negate(run: Run) -> None:
            run[2].leaves[0].neg_()

        assert judge(Signless, negate).findings == []
        (finding,) = judge(Signless, lambda run: first_leaf(run).add_(1)).findings
        assert finding.text == "differs by more than its sign"

    def test_an_exception_must_be_the_same_in_both(self) -> None:
        class Raises(Softmax):
            def step(self, state: Any, x: Any) -> Any:
                if current().thread_index == 1:
                    raise ValueError(f"bad at {id(x):#x}")
                return x

        assert judge(Raises, lambda run: None).findings == []

        def swap(run: Run) -> None:
            run[0].raised = run[5].raised

        (finding,) = judge(Raises, swap).findings
        assert (finding.verdict, finding.name, finding.thread) == ("race", "exception", 0)

    def test_a_missing_iteration_is_a_finding(self) -> None:
        workload = workload_of(Softmax)
        reference = ReferenceMaker(workload, Cpu()).make()
        run: list[Any] = run_sequence(workload, CPU, workload.make_inputs(), "round-robin")
        run[7] = None
        judged = Judge(workload.scenario, workload.plan, [reference.full], varies_alone=False).judge(run, [])
        assert [(one.name, one.thread, one.iteration) for one in judged.findings] == [("not-run", 1, 3)]

    def test_named_findings_are_bounded_and_the_rest_counted(self) -> None:
        judged = judge(Softmax, lambda run: [leaf.add_(1) for one in run for leaf in one.leaves])
        assert len(judged.findings) == 20
        assert judged.wrong == 24


class TestOneThreadAlone:
    def test_a_device_that_is_wrong_alone_is_told_apart_from_a_race(self) -> None:
        workload = workload_of(Softmax)
        reference = Reference([], [])
        right = torch.ones(3, dtype=torch.float64)
        reference.full = [
            Expected("*", [[torch.full((3,), 1.5)]], [], [right], [1e-6], [1.0], [False], [0.0])
            for _ in workload.plan.slots
        ]
        _check_alone(workload, reference)
        (finding,) = _alone_findings(reference)
        assert (finding.verdict, finding.name) == ("error", "wrong-alone")
        assert (
            "thread 0 iteration 0, output 0 is off by 0.5 from the exact value, 1e-06 allowed" in finding.text
        )

    def test_no_crew_threads_are_needed_for_a_reference(self) -> None:
        before = threading.active_count()
        ReferenceMaker(workload_of(Softmax), Cpu()).make()
        assert threading.active_count() == before


class TestManyWrongValues:
    def test_all_are_counted_and_only_the_first_ones_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        named = []

        def counting(*args: Any) -> tuple[str, str | None]:
            named.append(args)
            return "numeric", None

        monkeypatch.setattr("stress.child.oracle.wrong_value.name", counting)
        monkeypatch.setattr("stress.child.oracle.judge.NAMED_MAX", 5)
        judged = judge(Softmax, lambda run: [one.leaves[0].add_(1.0) for one in run])
        assert judged.wrong == 12
        assert len(judged.findings) == len(named) == 5


def test_digests_are_taken_once_of_each_distinct_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    workload = workload_of(Softmax)
    runs = [run_sequence(workload, CPU, workload.make_inputs(), "thread-by-thread") for _ in range(3)]
    runs[2][1].leaves[0] = runs[2][1].leaves[0] + 1
    weights = ramps(64, CPU)
    expected = [digest_run(run, weights) for run in runs]
    asked: list[int] = []

    def counting(run: Run, weights: Any) -> Run:
        asked.append(len(run))
        return digest_run(run, weights)

    monkeypatch.setattr("stress.child.oracle.reference.digest_run", counting)
    made = _digest_runs(runs, weights)
    assert asked == [12, 0, 1]
    assert all(same_run(left, right) for left, right in zip(made, expected, strict=True))
    assert not same_run(made[0], made[2])
