"""Counting records: what is added, what stands apart, what is refused with its file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stress.record.aggregate import AggregateError
from stress.record.aggregate import DeviceKind
from stress.record.aggregate import read_folders
from stress.record.aggregate import runs
from tests.made_records import FORK
from tests.made_records import MAC
from tests.made_records import TORCH
from tests.made_records import Made
from tests.made_records import append_raw
from tests.made_records import run_of
from tests.made_records import simulated

LINEAR = "scenarios/linear.py::SharedLinear[float32-t8]"
NORM = "scenarios/layer_norm.py::SharedLayerNorm[t4]"


class TestCounting:
    def test_attempts_by_verdict_with_controls_and_references_apart(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        made.attempt(LINEAR, "pass", "reference")
        made.attempts(LINEAR, {"pass": 5, "interesting": 1, "oom": 2})
        made.attempts(LINEAR, {"crash": 3}, signature="metal/encoder-overlap", signal="SIGABRT")
        made.attempt(LINEAR, "mismatch", findings=[{"name": "torn", "verdict": "mismatch"}])
        made.attempt(LINEAR, "pass", "control")
        made.item(LINEAR, "crash", 10, 4)
        (cell,) = read_folders([made.end().folder]).cells.values()
        assert (cell.attempts, cell.counted, cell.failures) == (12, 10, 4)
        assert dict(cell.controls) == {"pass": 1}
        assert dict(cell.references) == {"pass": 1}
        assert dict(cell.names) == {("crash", "metal/encoder-overlap"): 3, ("mismatch", "mismatch: torn"): 1}
        assert cell.threads == 8
        assert cell.scenario == "scenarios/linear.py::SharedLinear[float32]"
        assert not cell.is_canary
        assert cell.verdict == "crash"

    def test_runs_are_added_and_told_apart(self, tmp_path: Path) -> None:
        for number in range(3):
            run_of(tmp_path / f"run{number}", {LINEAR: {"pass": 10, "hang": number}}, time=1000.0 + number)
        whole = read_folders([tmp_path])
        (cell,) = whole.cells.values()
        assert (cell.failures, cell.counted) == (3, 33)
        assert cell.by_run == {"run0": [10, 0], "run1": [11, 1], "run2": [12, 2]}
        assert [one.attempts for one in whole.runs.values()] == [10, 11, 12]
        assert not any(one.was_killed for one in whole.runs.values())

    def test_attempts_of_one_process_count_once(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        for process, ages in ((2, (0, 1, 2)), (9, (4, 5)), (12, (0,)), (13, (0,))):
            for age in ages:
                made.attempt(LINEAR, "pass", process=process, age=age)
        made.attempt(LINEAR, "oom", process=9, age=6)
        made.attempt(LINEAR, "crash", process=13, age=1)
        made.attempt(NORM, "pass", process=2, age=3)
        for _ in range(2):
            made.attempt(LINEAR, "pass", "fresh")
        cells = {one.item: one for one in read_folders([made.end().folder]).cells.values()}
        linear, norm = cells[LINEAR], cells[NORM]
        assert (linear.counted_attempts, linear.counted, linear.failures) == (8, 4, 1)
        assert (norm.counted_attempts, norm.counted) == (1, 1)
        assert linear.by_run == {"run": [4, 1]}
        assert (dict(linear.fresh), linear.references) == ({"pass": 2}, {})

    def test_a_failure_that_is_aged_leaves_its_process_with_what_it_had_before(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        made.attempts(LINEAR, {"pass": 2})
        for age, verdict in enumerate(("pass", "pass", "mismatch")):
            made.attempt(LINEAR, verdict, process=3, age=age)
        named = {"item": LINEAR, "role": "crew", "attempt": 4, "process": 3, "age": 2}
        made.write("attempt_end", **named, verdict="aged", seconds=0.5, headline="only there", amends=True)
        (cell,) = read_folders([made.end().folder]).cells.values()
        assert (cell.counted_attempts, cell.counted, cell.failures) == (4, 3, 0)
        assert cell.by_run == {"run": [3, 0]}

    def test_an_amendment_replaces_what_was_counted(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        made.attempts(LINEAR, {"pass": 2})
        named = {"item": LINEAR, "role": "crew", "attempt": 1}
        made.write(
            "attempt_end",
            **named,
            verdict="crash",
            seconds=0.5,
            headline="late",
            signature="x/y",
            amends=True,
        )
        (cell,) = read_folders([made.folder]).cells.values()
        assert dict(cell.verdicts) == {"pass": 1, "crash": 1}
        assert cell.by_run == {"run": [2, 1]}
        assert cell.seconds == 1.0

    def test_a_start_without_an_end_is_told_and_not_counted(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        made.attempt(LINEAR)
        made.start(LINEAR)
        whole = read_folders([made.folder])
        (cell,) = whole.cells.values()
        assert (cell.attempts, cell.unfinished) == (1, 1)
        assert whole.runs["run"].was_killed

    def test_a_canary_is_marked(self, tmp_path: Path) -> None:
        for name, old in (("new", False), ("old", True)):
            made = Made(tmp_path / name)
            made.attempts(LINEAR, {"race": 5})
            made.item(LINEAR, "pass", 5, 5, **({} if old else {"canary": True, "notes": ["canary found: x"]}))
            (cell,) = read_folders([made.folder]).cells.values()
            assert cell.is_canary

    def test_two_processes_of_one_run_are_one_run(self, tmp_path: Path) -> None:
        folder = tmp_path / "run"
        for worker in ("gw0", "gw1"):
            made = Made(folder, worker=worker)
            made.attempts(LINEAR if worker == "gw0" else NORM, {"pass": 2})
            made.end().path.rename(folder / f"{worker}.jsonl")
        whole = read_folders([folder])
        assert whole.runs["run"].processes == whole.runs["run"].ended == 2
        assert sum(cell.counted for cell in whole.cells.values()) == 4


class TestGroups:
    def test_two_interpreters_of_one_run_stand_apart(self, tmp_path: Path) -> None:
        """`--dist=each` with two torch builds: the same run, the same items, two builds."""
        folder = tmp_path / "run"
        for worker, torch in (("gw0", TORCH), ("gw1", FORK)):
            made = Made(folder, worker=worker, torch=torch)
            made.attempts(LINEAR, {"pass": 3, "crash": 2 if worker == "gw1" else 0})
            made.end().path.rename(folder / f"{worker}.jsonl")
        whole = read_folders([folder])
        assert [(cell.failures, cell.counted) for group in whole.groups for cell in whole.of(group)] == [
            (0, 3),
            (2, 5),
        ]
        assert [len(list(whole.failures_of(group))) for group in whole.groups] == [0, 2]
        assert not whole.problems

    def test_unlike_machines_builds_settings_and_devices_are_never_added(self, tmp_path: Path) -> None:
        unlike: dict[str, dict[str, Any]] = {
            "plain": {},
            "chip": {"environment": {**MAC, "chip": "Apple M4"}},
            "macos": {"environment": {**MAC, "macos": {"version": "15.5"}}},
            "virtual": {"environment": {**MAC, "paravirtual": True}},
            "untold": {"environment": {**MAC, "paravirtual": None}},
            "version": {"torch": {**TORCH, "version": "2.14.0"}},
            "commit": {"torch": {**TORCH, "git": "0" * 40}},
            "switch": {"environment": {**MAC, "env": {"MTL_DEBUG_LAYER": "1"}}},
            "perturb": {"settings": {"perturb": "high"}},
            "cpu": {"device": "cpu"},
            "sim": simulated(),
            "design": simulated(design="upstream"),
            "faults": simulated(faults=[{"name": "commit_twice", "twin": False, "probability": 0.01}]),
            "tsan": {**simulated(), "tsan": {"compiler": "clang 19"}},
            "tsan without a canary": {**simulated(), "tsan": {"problem": "the canary was not found"}},
            "twin": simulated(faults=[{"name": "commit_twice", "twin": True, "probability": 0.01}]),
        }
        for name, fields in unlike.items():
            run_of(tmp_path / name, {LINEAR: {"pass": 1}}, **fields)
        whole = read_folders([tmp_path])
        assert len(whole.groups) == len(unlike)
        assert all(cell.counted == 1 for cell in whole.cells.values())
        assert whole.groups[0].kind == DeviceKind.REAL
        assert whole.groups[-1].kind == DeviceKind.SIMULATED

    def test_one_commit_built_twice_is_two_builds(self, tmp_path: Path) -> None:
        again = {**FORK, "extension": {**FORK["extension"], "modified": 1795200999.5}}
        for name, torch in (
            ("a", FORK),
            ("b", again),
            ("c", TORCH),
            ("d", {**TORCH, "extension": again["extension"]}),
        ):
            run_of(tmp_path / name, {LINEAR: {"pass": 1}}, torch=torch)
        # A wheel from an index is the same wherever it was installed; a build out of a tree is not.
        assert len(read_folders([tmp_path]).groups) == 3

    def test_the_same_wheel_on_two_machines_of_a_class_is_added(self, tmp_path: Path) -> None:
        for host in ("one", "two"):
            run_of(tmp_path / host, {LINEAR: {"pass": 3}}, environment={**MAC, "host": host})
        (cell,) = read_folders([tmp_path / "one", tmp_path / "two"]).cells.values()
        assert cell.counted == 6


class TestWhatIsRefused:
    def test_a_folder_given_twice_or_copied_is_counted_once(self, tmp_path: Path) -> None:
        folder = run_of(tmp_path / "a" / "run", {LINEAR: {"pass": 2}})
        copy = tmp_path / "b" / "run"
        copy.mkdir(parents=True)
        for path in folder.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        whole = read_folders([folder, folder, copy])
        (cell,) = whole.cells.values()
        assert cell.counted == 2
        assert len([one for one in whole.problems if "read already" in one]) == 2

    def test_an_end_without_a_start_and_a_second_end_do_not_count(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        made.attempt(LINEAR)
        named = {"item": LINEAR, "role": "crew", "attempt": 0}
        made.write("attempt_end", **named, verdict="crash", seconds=1.0, headline="again")
        made.write(
            "attempt_end", **{**named, "attempt": 9}, verdict="crash", seconds=1.0, headline="", amends=True
        )
        whole = read_folders([made.folder])
        (cell,) = whole.cells.values()
        assert dict(cell.verdicts) == {"pass": 1}
        assert [one.partition(": ")[0] for one in whole.problems] == [
            "run/host-1-1000.jsonl:4", "run/host-1-1000.jsonl:5",
        ]  # fmt: skip

    def test_a_simulated_attempt_cannot_enter_a_real_run(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        named = made.start(LINEAR)
        made.write("attempt_end", **named, verdict="pass", seconds=1.0, headline="", simulated=True)
        whole = read_folders([made.folder])
        assert not whole.cells
        assert "a simulated attempt in a run that says it is not" in whole.problems[0]

    def test_records_before_their_run_record_do_not_count(self, tmp_path: Path) -> None:
        folder = run_of(tmp_path / "run", {LINEAR: {"pass": 1}})
        path = next(folder.iterdir())
        path.write_text("\n".join(path.read_text().splitlines()[1:]) + "\n")
        whole = read_folders([folder, Made(tmp_path / "other").end().folder])
        assert not whole.cells
        assert "before that run's own record" in whole.problems[0]

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "its record files are empty"),
            (b'{"v":1,"kind":"ru', "its only line is cut off"),
            (b"not json\nnor this\n", "host-1-1000.jsonl:1: not JSON"),
            (b'{"v":1,"kind":"journey","run":"x","time":1}\n', r"only records of kinds .* \(journey\)"),
        ],
    )
    def test_a_folder_without_a_run_is_refused(self, tmp_path: Path, content: bytes, why: str) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "host-1-1000.jsonl").write_bytes(content)
        with pytest.raises(AggregateError, match=f"no run in .*: .*{why}"):
            read_folders([tmp_path])

    def test_lines_that_are_no_records_are_told_with_file_and_line(self, tmp_path: Path) -> None:
        folder = run_of(tmp_path / "run", {LINEAR: {"pass": 1}})
        append_raw(
            folder,
            b"not json",
            b"[" * 100_000,
            b'{"v":1,"kind":"attempt_end","run":"run","time":1e999}',
            b'{"v":1,"kind":"journal","run":"run","time":1,"item":7}',
            b'{"v":1,"kind":"journal","run":"run","time":1,"item":"' + b"x" * 10_000_000 + b'"}',
        )
        whole = read_folders([folder])
        assert whole.problems_total == 5
        assert [one.partition(": ")[0] for one in whole.problems] == [
            f"run/host-1-1000.jsonl:{line}" for line in range(5, 10)
        ]
        (cell,) = whole.cells.values()
        assert cell.counted == 1

    def test_side_files_that_lead_out_of_the_folder_are_refused(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        made.attempt(LINEAR, "crash", stderr="../../etc/passwd")
        whole = read_folders([made.folder])
        assert not whole.failures
        assert "'stderr' is '../../etc/passwd', expected a plain file name" in whole.problems[0]

    def test_wrong_types_anywhere_in_a_run_record_do_no_harm(self, tmp_path: Path) -> None:
        run_of(
            tmp_path / "run",
            {LINEAR: {"pass": 1}},
            environment={"macos": 3, "chip": ["x"], "cpu_count": "many", "env": [1], "paravirtual": "no"},
            torch={"version": {"a": 1}, "git": 7, "extension": "x"},
            settings={"streams": {"deep": []}, "iterations": [1]},
            sim={"design": [1], "faults": {"a": 1}},
        )
        (group,) = read_folders([tmp_path / "run"]).groups
        assert group.kind == DeviceKind.UNTOLD
        assert group.build.version == "not recorded"

    def test_too_many_items_are_counted_and_not_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(runs, "CELLS_MAX", 3)
        folder = run_of(tmp_path / "run", {f"a.py::S{number}[t8]": {"pass": 2} for number in range(5)})
        whole = read_folders([folder])
        assert len(whole.cells) == 3
        assert dict(whole.omitted) == {"attempts of further items": 4}

    @pytest.mark.parametrize(
        ("name", "text"), [("nothing", "there is no such folder"), ("empty", "no records")]
    )
    def test_a_path_without_records_is_an_error(self, tmp_path: Path, name: str, text: str) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(AggregateError, match=text):
            read_folders([tmp_path / name])


@pytest.mark.parametrize("command", ["power", "throughput", "replay", "something of tomorrow"])
def test_runs_of_other_commands_are_seen_and_not_counted(tmp_path: Path, command: str) -> None:
    made = Made(tmp_path / "run", command=command, **simulated())
    made.attempts(LINEAR, {"crash": 3})
    seen: list[str] = []
    whole = read_folders(
        [made.end().folder], {command: lambda record, info: seen.append(str(record["kind"]))}
    )
    assert not whole.cells
    assert seen.count("attempt_end") == 3
    assert not whole.runs["run"].was_killed


def test_failures_are_kept_with_their_place_some_of_each_name(tmp_path: Path) -> None:
    made = Made(tmp_path / "run")
    made.attempts(LINEAR, {"crash": 5}, headline="assertion at 0x1234 in line 17", stderr="a-1.stderr")
    made.attempts(LINEAR, {"hang": 1}, signature="hang/dispatch-sync")
    whole = read_folders([made.folder])
    assert [(one.name, one.is_known) for one in whole.failures] == [
        ("crash: assertion at # in line #", False),
        ("crash: assertion at # in line #", False),
        ("hang/dispatch-sync", True),
    ]
    first = whole.failures[0]
    assert (first.file, first.line) == ("host-1-1000.jsonl", 3)
    assert json.loads((made.path.read_text().splitlines())[first.line - 1])["kind"] == "attempt_end"
    assert first.end["stderr"] == "a-1.stderr"


def test_an_attempt_has_the_most_telling_name_of_its_wrong_values(tmp_path: Path) -> None:
    """By all of them an attempt that shows one more of the same would be a new failure."""
    made = Made(tmp_path / "run")
    for names in (
        ["numeric", "cross-talk"],
        ["cross-talk"],
        ["numeric", "nan", "torn"],
        ["numeric", "value_kept"],
    ):
        findings = [{"name": one, "verdict": "mismatch"} for one in names]
        made.attempts(LINEAR, {"mismatch": 1}, findings=findings)
    (cell,) = read_folders([made.end().folder]).cells.values()
    assert {name: count for (_, name), count in cell.names.items()} == {
        "mismatch: cross-talk": 2,
        "mismatch: torn": 1,
        "mismatch: value_kept": 1,
    }
