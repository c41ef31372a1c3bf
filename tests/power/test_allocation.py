"""The allocation: read, refused, written, dealt out; and the shipped one can be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stress.commands.power.allocation import BLIND_PATH
from stress.commands.power.allocation import AllocationError
from stress.commands.power.allocation import Entry
from stress.commands.power.allocation import Turns
from stress.commands.power.allocation import blind
from stress.commands.power.allocation import dump
from stress.commands.power.allocation import focused
from stress.commands.power.allocation import load
from stress.commands.power.allocation import spread
from stress.commands.power.allocation import with_threads
from stress.commands.power.estimate import BUDGET_S
from stress.commands.power.runnable import resolve
from stress.device.sim.zoo import BY_NAME

LINEAR = Entry("linear.py::SharedLinear", (("dtype", "float32"),), 8, 10, "op", "high", "end", 0.75, 0.2, 0.4)
EXIT = Entry(
    "exit.py::ExitWithWork", (("ending", "atexit"),), 8, None, share=0.25, seconds=2.0, reference_seconds=0
)


def written(folder: Path, text: str) -> Path:
    path = folder / "allocation.toml"
    path.write_text(text)
    return path


class TestFile:
    def test_what_is_written_is_read_again(self, tmp_path: Path) -> None:
        text = dump([LINEAR, EXIT], "Made\nby hand")
        assert text.startswith("# Made\n# by hand\n")
        assert load(written(tmp_path, text)) == (LINEAR, EXIT)

    def test_names_tell_everything_but_the_share(self) -> None:
        assert LINEAR.name == "linear::SharedLinear[float32-t8-i10-op.high-end]"
        assert EXIT.name == "exit::ExitWithWork[atexit-t8-none-every]"

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('perturb = "often"', "perturb is 'often': choose one of none, op, line, opcode, rotate"),
            ('readback = "never"', "readback is 'never'"),
            ('level = "off"', "level is 'off'"),
            ("threads = 0", "threads is 0"),
            ("iterations = 1.5", "iterations is 1.5"),
            ("share = -1", "share is -1"),
            ("share = 0", "must be given"),
            ("seconds = inf", "seconds is inf"),
            ("params = 3", "params must be a table"),
            ('thread = "8"', "unknown thread; known are"),
        ],
    )
    def test_what_cannot_be_meant_names_file_entry_and_way_out(
        self, tmp_path: Path, line: str, message: str
    ) -> None:
        path = written(tmp_path, f'[[entry]]\nscenario = "a.py::B"\n{line}\n')
        with pytest.raises(AllocationError) as caught:
            load(path)
        assert str(caught.value).startswith(f"{path}: entry 1: ")
        assert message in str(caught.value)

    @pytest.mark.parametrize("scenario", ["linear.py", "linear::X", "../linear.py::X", "a/b.py::X", ".py::X"])
    def test_a_scenario_is_a_file_of_the_folder_and_a_class(self, tmp_path: Path, scenario: str) -> None:
        with pytest.raises(AllocationError, match=r"expected FILE\.py::CLASS"):
            load(written(tmp_path, f'[[entry]]\nscenario = "{scenario}"\n'))

    @pytest.mark.parametrize("text", ["", "entry = 3", "entry = []", "[[entry", "[[entry]]\nshare = 1"])
    def test_other_files_are_refused(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(AllocationError):
            load(written(tmp_path, text))

    def test_an_entry_stands_there_once(self, tmp_path: Path) -> None:
        with pytest.raises(AllocationError, match="appears twice"):
            load(written(tmp_path, dump([LINEAR, LINEAR], "")))

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(AllocationError, match=r"nothing\.toml cannot be read: No such file"):
            load(tmp_path / "nothing.toml")


class TestTurns:
    def test_attempts_follow_the_shares_of_the_fault_free_seconds(self) -> None:
        fast = Entry("a.py::Fast", share=0.5, seconds=0.1)
        slow = Entry("a.py::Slow", share=0.5, seconds=1.0)
        turns = Turns([fast, slow], 1)
        drawn = [turns.next() for _ in range(1100)]
        assert abs(drawn.count(1) - 100) <= 1

    def test_no_entry_always_comes_first(self) -> None:
        entries = [
            Entry("a.py::A", seconds=1.0),
            Entry("a.py::B", seconds=1.0),
            Entry("a.py::C", seconds=1.0),
        ]
        first = {Turns(entries, seed).next() for seed in range(50)}
        assert first == {0, 1, 2}

    def test_an_entry_comes_as_often_in_the_first_seconds_as_later(self) -> None:
        """A rare entry has its chance before its first period is over: else the first kills would be biased."""
        entries = [Entry("a.py::A", share=0.1, seconds=1.0), Entry("a.py::B", share=0.9, seconds=1.0)]
        early = 0
        for seed in range(500):
            turns = Turns(entries, seed)
            early += [turns.next() for _ in range(5)].count(0)
        # 5 attempts are half a period of the rare entry: 250 are expected, with a deviation of 11.
        assert abs(early - 250) < 50

    def test_a_dropped_entry_never_comes_again(self) -> None:
        turns = Turns([Entry("a.py::A"), Entry("a.py::B")], 1)
        turns.drop(0)
        assert {turns.next() for _ in range(10)} == {1}
        turns.drop(1)
        assert turns.is_empty


class TestEntriesOfTheRepository:
    def test_the_shipped_allocation_can_be_used(self) -> None:
        entries = load()
        assert sum(one.share for one in entries) == pytest.approx(1.0, abs=0.01)
        for one in entries:
            resolve(one)

    def test_the_thread_count_of_the_user_wins(self) -> None:
        assert [one.threads for one in with_threads([LINEAR, EXIT], 4)] == [4, 4]

    def test_a_crew_has_its_workers_and_a_process_none(self) -> None:
        assert resolve(LINEAR).workers == 8
        assert resolve(LINEAR).iterations == 10

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            (Entry("nothing.py::A"), r"nothing\.py does not exist"),
            (Entry("linear.py::Nothing"), "has no Nothing"),
            (Entry("linear.py::SharedLinear"), "its parameters are dtype"),
            (
                Entry("linear.py::SharedLinear", (("dtype", "int8"),)),
                "dtype is one of float32, float16, bfloat16",
            ),
            (Entry("canary.py::LostUpdate"), "or is a canary"),
            (
                Entry("error_attribution.py::OneOffender", (("error", "index"),), 1),
                "needs at least 2 threads",
            ),
        ],
    )
    def test_an_entry_that_does_not_fit_says_why(self, entry: Entry, message: str) -> None:
        with pytest.raises(AllocationError, match=message):
            resolve(entry)


class TestBlindEntriesOfTheRepository:
    def test_no_record_of_a_fault_took_part(self) -> None:
        assert not [one.name for one in load(BLIND_PATH) if one.faults]

    def test_shares_follow_from_costs_alone(self) -> None:
        entries = load(BLIND_PATH)
        assert [one.share for one in spread(entries)] == pytest.approx(
            [one.share for one in entries], abs=1e-4
        )

    def test_each_scenario_can_be_used(self) -> None:
        for one in load(BLIND_PATH):
            if not one.is_native:
                resolve(one)

    def test_they_leave_time_for_attempts_beside_their_references(self) -> None:
        """More entries are more that is driven, but each costs a reference of the 64 s."""
        assert sum(one.reference_seconds for one in load(BLIND_PATH)) < BUDGET_S / 4

    def test_four_times_the_cost_is_half_the_attempts(self) -> None:
        cheap, dear = spread([Entry("a.py::A", seconds=0.1), Entry("b.py::B", seconds=0.4)])
        assert cheap.share + dear.share == pytest.approx(1.0)
        assert dear.period_s == pytest.approx(2 * cheap.period_s)

    def test_scenarios_and_the_native_suite_get_half_each(self) -> None:
        """Whichever of them a design has fewer entries of."""
        entries = [Entry("a.py::A", share=0.3), Entry("b.py::B", share=0.6), Entry("native::c", share=0.1)]
        assert [one.share for one in blind(entries)] == pytest.approx([1 / 6, 1 / 3, 1 / 2])
        assert [one.share for one in blind(entries[:2])] == pytest.approx([1 / 3, 2 / 3])


class TestFocus:
    def test_a_known_fault_gets_the_entries_that_records_name_in_equal_shares(self) -> None:
        entries = (
            Entry("a.py::A", share=0.9),
            Entry("b.py::B", share=0.1, faults=("copy_torn",)),
            Entry("c.py::C", share=0.0, faults=("copy_torn", "commit_twice")),
        )
        assert [(one.scenario, one.share) for one in focused(entries, "copy_torn")] == [
            ("b.py::B", 0.5),
            ("c.py::C", 0.5),
        ]

    def test_a_fault_without_records_gets_what_is_attempted_when_nothing_is_known(self) -> None:
        entries = (Entry("a.py::A", share=0.9), Entry("c.py::C", share=0.0, faults=("commit_twice",)))
        assert focused(entries, "copy_torn") == blind(entries) == (replace(entries[0], share=1.0),)


def test_the_shipped_one_aims_at_every_fault_of_the_zoo_and_at_no_other() -> None:
    """A fault without an entry of its own is looked for by luck alone; a name of none is a fault renamed."""
    aimed_at = {name for entry in load() for name in entry.faults}
    assert aimed_at == set(BY_NAME)
