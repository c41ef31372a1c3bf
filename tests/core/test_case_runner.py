"""The case runner on children that are made up: which children a case has, in which order, told what, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stress.isolate.backend import Exit
from stress.isolate.backend import IsolationError
from stress.isolate.case_runner import CasePolicy
from stress.isolate.case_runner import CaseRunner
from stress.isolate.case_runner import CaseSpec
from stress.isolate.case_runner import Rotation
from stress.isolate.case_runner import recorder
from stress.isolate.judged_case import JudgedCase
from stress.isolate.pace import DEADLINE_FACTOR
from stress.isolate.pace import Pace
from stress.isolate.supervisor import ChildRun
from stress.model.spec import COMPLETIONS
from stress.model.spec import READBACKS
from stress.model.spec import ChildSpec
from stress.model.spec import CoreSpec
from stress.model.spec import ScenarioRef
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import RunReader

SECOND_PATH = {"MPS_FORCE_GRAPH_PATH": "1"}


class Children:
    """Ends children as it is told, in turn, and well when nothing is left to tell."""

    def __init__(self, *endings: str) -> None:
        self.endings = iter(endings)
        self.specs: list[ChildSpec] = []
        self.before: tuple[str, ...] = ()
        """Attempts that the processes of crews have served before."""

    def __call__(self, spec: ChildSpec, workers: int) -> ChildRun:
        self.specs.append(spec)
        ending = next(self.endings, "pass")
        if ending == "none":
            raise IsolationError("lost the fork server")
        if spec.kind == "reference":
            spec.file("reference").write_text("answers")
        hung, code = ending == "hang", -11 if ending == "crash" else 0
        run = ChildRun(spec, None, None if hung else Exit(code, 0, 0), hung, 0.5, 0.0, 1)
        run.result = {"slots": 6, "findings": []} if ending == "pass" else None
        run.before = self.before if spec.shares_process and spec.kind == "crew" else ()
        return run

    @property
    def roles(self) -> str:
        """Return the children in their order: r for a reference, 1 for one thread, c for a crew."""
        return "".join(
            "r" if one.kind == "reference" else "1" if one.one_thread else "c" for one in self.specs
        )


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RecordWriter]:
    one = RecordWriter(RunFolder.create(tmp_path, "2026-11-30T1000Z-made-up1"))
    yield one
    one.close()


def case(**changes: Any) -> CaseSpec:
    child = ChildSpec(
        "crew", "", "", "cpu", ScenarioRef("made_up.py", "made_up", "Made", ()), threads=2, seed=7
    )
    fields: dict[str, Any] = {
        "item": "made_up.py::Made",
        "child": child,
        "rotation": Rotation("low", readback_first=1),
        "reference_deadline_s": 9.0,
        "command": lambda serial: f"repeat {serial}",
        "start": {"params": {}, "iterations": 3},
    }
    return CaseSpec(**{**fields, **changes})


def run(writer: RecordWriter, children: Children, policy: CasePolicy, **changes: Any) -> JudgedCase:
    runner = CaseRunner(children, writer, recorder(writer, simulated=True))
    result = JudgedCase(item="made_up.py::Made", command="repeat")
    try:
        runner.run(case(**changes), policy, result)
    finally:
        runner.record_item(result)
        assert not list(writer.folder.path.glob("*.reference")), "nobody needs it any more"
    return result


class TestACase:
    def test_has_a_reference_for_each_kernel_path_which_serve_all_crews(self, writer: RecordWriter) -> None:
        children = Children()
        result = run(writer, children, CasePolicy(3, 3), reference_envs=(SECOND_PATH,))
        assert children.roles == "rrccc"
        assert [one.env for one in children.specs[:2]] == [{}, SECOND_PATH]
        assert [one.device_only for one in children.specs[:2]] == [False, True]
        assert {one.deadline_s for one in children.specs[:2]} == {9.0}
        assert len({one.references for one in children.specs[2:]}) == 1
        assert len(children.specs[-1].references) == 2
        assert (result.verdict, result.reference and result.reference.slots) == ("pass", 6)

    def test_without_a_usable_reference_has_no_crew(self, writer: RecordWriter) -> None:
        children = Children("pass", "crash")
        result = run(writer, children, CasePolicy(3, 3), reference_envs=(SECOND_PATH, {"A": "B"}))
        assert children.roles == "rr"
        assert result.verdict == "error"
        assert result.headline.startswith("one thread alone crashes")

    def test_that_fails_has_as_many_attempts_with_one_thread(self, writer: RecordWriter) -> None:
        children = Children("pass", "pass", "crash")
        result = run(writer, children, CasePolicy(3, 3))
        assert children.roles == "rccc111"
        assert (result.failures, result.counted, result.control_failures) == (1, 3, 0)
        assert [one.perturb_mode for one in children.specs[1:4]] == [
            one.perturb_mode for one in children.specs[4:]
        ]

    def test_says_why_it_has_no_control(self, writer: RecordWriter) -> None:
        children = Children("pass", "crash")
        result = run(writer, children, CasePolicy(1, 1, no_control=lambda: "one thread already"))
        assert (children.roles, result.no_control) == ("rc", "one thread already")

    def test_of_a_process_scenario_has_no_reference(self, writer: RecordWriter) -> None:
        children = Children()
        spec = ChildSpec("process", "", "", "cpu", ScenarioRef("made_up.py", "made_up", "Made", ()))
        run(writer, children, CasePolicy(2, 2, no_control=lambda: "a process scenario"), child=spec)
        assert [one.kind for one in children.specs] == ["process", "process"]


class TestCompletion:
    """When a core's simulated Metal completes what was committed: an axis of the attempt, as readback is."""

    def on_core(self) -> ChildSpec:
        return replace(case().child, device="core", core=CoreSpec("core.so"))

    def test_goes_in_turn_and_meets_every_readback(self) -> None:
        rotation, child = Rotation("low", completion_first=2), self.on_core()
        specs = [rotation.apply(child, number) for number in range(len(COMPLETIONS) * len(READBACKS))]
        assert [one.completion for one in specs[:4]] == [*COMPLETIONS[2:], *COMPLETIONS[:2]]
        assert len({(one.completion, one.readback) for one in specs}) == len(specs)

    def test_of_one_thread_is_that_of_the_crew(self, writer: RecordWriter) -> None:
        children = Children("pass", "crash")
        run(
            writer,
            children,
            CasePolicy(3, 3),
            child=self.on_core(),
            rotation=Rotation("low", completion_first=1),
        )
        reference, *others = [one.completion for one in children.specs]
        assert (reference, others[:3]) == ("in_order", others[3:])
        starts = [one for one in RunReader(writer.folder.path) if one["kind"] == "attempt_start"]
        assert [one.get("completion") for one in starts] == [reference, *others]

    def test_is_fixed_where_it_is_given(self) -> None:
        rotation = Rotation("low", completion="slow_queue")
        assert {rotation.apply(self.on_core(), number).completion for number in range(5)} == {"slow_queue"}

    def test_is_nothing_elsewhere(self, writer: RecordWriter) -> None:
        children = Children()
        run(writer, children, CasePolicy(5, 5))
        assert {one.completion for one in children.specs} == {"in_order"}
        starts = [one for one in RunReader(writer.folder.path) if one["kind"] == "attempt_start"]
        assert not any("completion" in one for one in starts)


class TestAFailureInAProcessThatServedOthers:
    shared = replace(case().child, shares_process=True)

    def test_is_the_cases_own_when_a_fresh_one_fails(self, writer: RecordWriter) -> None:
        children = Children("pass", "pass", "crash", "pass", "pass", "crash")
        children.before = ("made-up-3", "made-up-4")
        result = run(writer, children, CasePolicy(3, 3), child=self.shared)
        assert children.roles == "rccc" + "ccc" + "111"
        assert [one.shares_process for one in children.specs] == [True] * 4 + [False] * 6
        assert {one.attempt for one in children.specs[4:7]} == {1}, "like the one that failed"
        assert (
            len({(one.perturb_mode, one.readback) for one in (children.specs[2], *children.specs[4:7])}) == 1
        )
        assert (result.verdict, result.fresh_failures, len(result.fresh)) == ("crash", 1, 3)
        assert result.notes == ["fresh processes: 1 of 3 failed"]

    def test_is_aged_when_none_does(self, writer: RecordWriter) -> None:
        children = Children("pass", "pass", "crash")
        children.before = ("made-up-3", "made-up-4")
        result = run(writer, children, CasePolicy(2, 2), child=self.shared)
        assert children.roles == "rcc" + "cc"
        assert (result.verdict, result.failures, result.counted) == ("aged", 0, 1)
        assert "had served 2 attempts" in result.headline
        ends = [
            one for one in RunReader(writer.folder.path) if one["kind"] == "attempt_end" and one.get("amends")
        ]
        assert [(one["verdict"], one["attempt"], one["before"]) for one in ends] == [("aged", 1, [3, 4])]
        item = next(one for one in RunReader(writer.folder.path) if one["kind"] == "item")
        assert (item["fresh_attempts"], item["fresh_failures"]) == (2, 0)

    def test_needs_no_proof_where_a_fresh_one_failed_already(self, writer: RecordWriter) -> None:
        children = Children("pass", "crash")
        result = run(writer, children, CasePolicy(2, 2), child=self.shared)
        assert (children.roles, result.verdict) == ("rcc11", "crash")

    def test_stays_one_where_there_is_no_time_to_look(self, writer: RecordWriter) -> None:
        children = Children("pass", "crash")
        children.before = ("made-up-3",)
        policy = CasePolicy(1, 1, no_control=lambda: "no time", is_spent=lambda: True)
        result = run(writer, children, policy, child=self.shared)
        assert (children.roles, result.verdict) == ("rc", "crash")
        assert result.notes == ["not run again in fresh processes: the time budget is spent"]


class TestThePolicy:
    def test_ends_a_case_after_two_hangs_and_its_control_after_one(self, writer: RecordWriter) -> None:
        children = Children("pass", "hang", "pass", "hang", "hang")
        result = run(writer, children, CasePolicy(5, 5))
        assert children.roles == "rccc1"
        assert result.notes == ["stopped after 2 hangs"]

    def test_gives_more_attempts_only_to_what_has_failed(self, writer: RecordWriter) -> None:
        clean, failing = Children(), Children("pass", "crash")
        run(writer, clean, CasePolicy(3, attempts_clean=1))
        run(writer, failing, CasePolicy(3, attempts_clean=1))
        assert (clean.roles, failing.roles) == ("rc", "rccc111")

    def test_has_one_attempt_whatever_the_limit(self, writer: RecordWriter) -> None:
        children = Children()
        result = run(writer, children, CasePolicy(3, 3, limit_s=lambda _first_s, _rest_s: 0.0))
        assert (children.roles, result.notes) == ("rc", ["time budget: 1 of 3 attempts"])

    def test_numbers_go_on_from_an_earlier_turn(self, writer: RecordWriter) -> None:
        children = Children("pass", "crash")
        first = {"reference": 1, "crew": 5, "control": 2}
        run(writer, children, CasePolicy(1, 1, first=first))
        # The inputs of a reference follow from the seed alone.
        assert [one.attempt for one in children.specs] == [0, 5, 2]
        ends = [one for one in RunReader(writer.folder.path) if one["kind"] == "attempt_end"]
        assert [(one["role"], one["attempt"]) for one in ends] == [
            ("reference", 1),
            ("crew", 5),
            ("control", 2),
        ]


class TestAMachineThatStartsNoChild:
    @pytest.mark.parametrize("endings", [("pass", "none"), ("pass", "pass", "crash", "none")])
    def test_leaves_what_there_is_and_no_file(self, writer: RecordWriter, endings: tuple[str, ...]) -> None:
        runner = CaseRunner(Children(*endings), writer, writer.write)
        result = JudgedCase(item="a", command="repeat")
        with pytest.raises(IsolationError):
            runner.run(case(reference_envs=(SECOND_PATH,)), CasePolicy(3, 3), result)
        assert len(result.attempts) == len(endings) // 3
        assert not list(writer.folder.path.glob("*.reference"))


class TestRecords:
    def test_of_all_children_say_the_same_things(self, writer: RecordWriter) -> None:
        run(writer, Children("pass", "crash"), CasePolicy(1, 1), names={"entry": "made up"})
        records: list[dict[str, Any]] = [{**one} for one in RunReader(writer.folder.path)]
        assert [one["kind"] for one in records] == ["attempt_start", "attempt_end"] * 3 + ["item"]
        assert all(one["simulated"] for one in records)
        starts = records[:-1:2]
        assert len({frozenset(one) for one in starts}) == 1
        assert [one["command"] for one in starts] == ["repeat 1", "repeat 2", "repeat 3"]
        assert [one["readback"] for one in starts] == ["every", "end", "end"]
        assert {one["entry"] for one in records[:-1]} == {"made up"}
        item = records[-1]
        assert (item["verdicts"], item["control_attempts"], item["control_failures"]) == ({"crash": 1}, 1, 0)


class TestThePace:
    def test_follows_the_median_of_clean_attempts(self) -> None:
        pace = Pace()
        for seconds in (1.0, 2.0, 60.0):
            pace.add(seconds)
        assert pace.deadline_s == DEADLINE_FACTOR * 2.0

    def test_is_the_most_until_there_are_enough(self) -> None:
        pace = Pace(most_s=30.0, clean_min=2)
        pace.add(1.0)
        assert pace.deadline_s == 30.0
        pace.add(1.0)
        assert pace.deadline_s == DEADLINE_FACTOR

    @pytest.mark.parametrize(("seconds", "deadline_s"), [(0.001, 5.0), (100.0, 30.0)])
    def test_has_bounds(self, seconds: float, deadline_s: float) -> None:
        pace = Pace(least_s=5.0, most_s=30.0)
        pace.add(seconds)
        assert pace.deadline_s == deadline_s

    def test_starts_from_what_is_known(self) -> None:
        assert Pace(expected_s=3.0).deadline_s == DEADLINE_FACTOR * 3.0
