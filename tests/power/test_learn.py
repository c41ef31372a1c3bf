"""The allocation that follows from records: it kills most faults, not the easiest ones most often."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.power.learning import Evidence
from benchmarks.power.learning import choose
from benchmarks.power.learning import learn
from stress.commands import CommandError
from stress.commands.power.allocation import Entry
from stress.commands.power.allocation import load
from tests.power.recorded import Recorded

BROAD = Entry("linear.py::SharedLinear", (("dtype", "float32"),))
NARROW = Entry("streams.py::ReleasedSlots")
USELESS = Entry("parallel_ops.py::Reductions")
HANGS = Entry("events.py::ElapsedTime")
ENTRIES = (BROAD, NARROW, USELESS, HANGS)


@pytest.fixture
def run(tmp_path: Path) -> Recorded:
    one = Recorded(tmp_path, "2026-01-01T0000Z-host-0000", ENTRIES)
    for entry in ENTRIES:
        one.attempts(entry, ["pass"] * 5)
        one.attempts(entry, ["pass"], role="reference", seconds=0.1)
    return one


def evidence(run: Recorded) -> Evidence:
    found = Evidence()
    found.read(run.path)
    return found


class TestChoose:
    def test_an_entry_that_kills_nothing_gets_nothing(self, run: Recorded) -> None:
        run.attempts(BROAD, ["mismatch"] * 10, fault="copy_torn")
        run.attempts(USELESS, ["pass"] * 10, fault="copy_torn")
        chosen, rates = choose(evidence(run))
        assert [one.name for one in chosen] == [BROAD.name]
        assert rates["copy_torn"] == pytest.approx(10 / 11 / 0.2, rel=0.01)

    def test_the_only_entry_that_kills_a_fault_gets_what_it_takes(self, run: Recorded) -> None:
        for fault in ("copy_torn", "scalar_buffer_reused", "linear_shared_scratch"):
            run.attempts(BROAD, ["mismatch"] * 20, fault=fault)
            run.attempts(NARROW, ["pass"] * 20, fault=fault)
        run.attempts(BROAD, ["pass"] * 20, fault="pool_dangling_slot")
        run.attempts(NARROW, ["mismatch", "pass"] * 10, fault="pool_dangling_slot")
        _, rates = choose(evidence(run))
        assert all(rate > 0.4 for rate in rates.values())

    def test_a_wrong_verdict_is_nothing_to_learn_from(self, run: Recorded) -> None:
        run.attempts(BROAD, ["crash"] * 20, fault="copy_torn")
        with pytest.raises(CommandError, match="no fault was killed"):
            choose(evidence(run))

    def test_an_entry_that_only_ever_failed_has_no_known_cost(self, tmp_path: Path) -> None:
        run = Recorded(tmp_path, "2026-01-01T0000Z-host-0001", ENTRIES)
        run.attempts(BROAD, ["mismatch"] * 5, fault="copy_torn")
        with pytest.raises(CommandError, match="ever ran clean"):
            choose(evidence(run))

    def test_a_hang_costs_what_it_costs(self, run: Recorded) -> None:
        run.attempts(HANGS, ["hang"] * 10, fault="event_elapsed_time_deadlock", seconds=1.5)
        _, rates = choose(evidence(run))
        assert rates["event_elapsed_time_deadlock"] == pytest.approx(10 / 11 / 1.5, rel=0.01)

    def test_a_fault_beyond_reach_keeps_a_floor_and_pulls_no_more(self, run: Recorded) -> None:
        run.attempts(BROAD, ["mismatch"] * 20, fault="copy_torn")
        run.attempts(NARROW, [*["pass"] * 399, "mismatch"], fault="scalar_buffer_reused")
        run.attempts(BROAD, ["pass"] * 20, fault="scalar_buffer_reused")
        chosen, rates = choose(evidence(run))
        shares = {one.name: one.share for one in chosen}
        assert shares[NARROW.name] >= 0.009
        assert rates["copy_torn"] > 0.5

    def test_an_entry_that_cannot_run_on_a_design_takes_none_of_its_seconds(self, run: Recorded) -> None:
        run.attempts(BROAD, ["mismatch"] * 20, fault="copy_torn")
        run.attempts(NARROW, ["mismatch"] * 20, fault="pool_dangling_slot")
        run.attempts(BROAD, ["mismatch"] * 20, fault="graph_cache_wrong_key")
        _, rates = choose(evidence(run))
        assert rates["graph_cache_wrong_key"] == pytest.approx(20 / 21 / 0.2, rel=0.01)

    def test_twins_and_other_probabilities_only_tell_how_long_things_take(self, run: Recorded) -> None:
        run.attempts(BROAD, ["mismatch"] * 5, fault="copy_torn", probability=0.1)
        run.attempts(BROAD, ["mismatch"] * 5, fault="copy_torn", twin=True)
        run.attempts(BROAD, ["pass"] * 9, fault="copy_torn", probability=0.1, seconds=0.5)
        found = evidence(run)
        assert not found.seen
        assert found.timed()[BROAD.name].seconds == pytest.approx(0.5)
        assert found.timed()[BROAD.name].reference_seconds == pytest.approx(0.1)


class TestLearn:
    def test_writes_a_file_that_can_be_used(self, run: Recorded, tmp_path: Path) -> None:
        run.attempts(BROAD, ["mismatch"] * 10, fault="copy_torn")
        text = learn([run.path])
        path = tmp_path / "learned.toml"
        path.write_text(text)
        assert [one.name for one in load(path)] == [BROAD.name]
        assert f"# `python -m benchmarks.power_learn learn {run.path.name}`" in text
        assert "copy_torn: 4.5" in text

    def test_runs_add_up(self, run: Recorded, tmp_path: Path) -> None:
        run.attempts(BROAD, ["mismatch"] * 10, fault="copy_torn")
        other = Recorded(tmp_path, "2026-01-01T0001Z-host-0001", ENTRIES)
        other.attempts(BROAD, ["pass"] * 10, fault="copy_torn")
        found = evidence(run)
        found.read(other.path)
        assert found.seen["copy_torn"][BROAD.name].attempts == 20
