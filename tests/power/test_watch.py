"""Watching a subject: turns, references, kills, alarms, and the ends of it; on a runner that is made up."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.power_learn import Exploration
from stress.commands.power import estimate
from stress.commands.power.allocation import Entry
from stress.commands.power.entry_runner import Attempted
from stress.commands.power.entry_runner import EntryRunner
from stress.commands.power.estimate import StopRule
from stress.commands.power.measurement import TWIN_ATTEMPTS
from stress.commands.power.measurement import TWIN_ATTEMPTS_EACH
from stress.commands.power.measurement import Measurement
from stress.commands.power.measurement import PowerMeasurement
from stress.commands.power.measurement import weight_of
from stress.commands.power.native import NativeCase
from stress.commands.power.options import PowerOptions
from stress.commands.power.options import parse
from stress.commands.power.outcome import classify
from stress.commands.power.report import json_text
from stress.commands.power.report import score
from stress.commands.power.report import text
from stress.commands.power.runnable import Runnable
from stress.commands.power.shares import OVERSUBSCRIPTION_BLIND
from stress.commands.power.shares import Shares
from stress.commands.power.subject import Subject
from stress.commands.power.tally import Tally
from stress.commands.power.watch import Watcher
from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import FAULTS
from stress.isolate.attempt import Attempt
from stress.isolate.case_runner import References
from stress.isolate.judgement import Judged
from stress.model.spec import ScenarioRef
from stress.model.verdict import Verdict

COPY = BY_NAME["copy_torn"]


def runnable(name: str, seconds: float = 0.2, share: float = 0.5) -> Runnable:
    entry = Entry(f"made_up.py::{name}", share=share, seconds=seconds, reference_seconds=0.5)
    return Runnable(entry, ScenarioRef("made_up.py", "made_up", name, ()), False, 8, 1, (), {})


def process(name: str) -> Runnable:
    entry = Entry(f"made_up.py::{name}", share=0.5, seconds=0.2, reference_seconds=0.0)
    return Runnable(entry, ScenarioRef("made_up.py", "made_up", name, ()), True, 0, 1, (), {})


@dataclass(frozen=True, kw_only=True)
class MadeUpReferences(References):
    """References without files, which note that they were removed."""

    removed: list[References]

    def remove(self) -> None:
        self.removed.append(self)


class MadeUp(EntryRunner):
    """A runner whose verdicts are drawn, and whose clock is counted."""

    def __init__(
        self, verdict: Callable[[Subject, str, random.Random], str], reference_problem: str = ""
    ) -> None:
        self.now = 0.0
        self.made: list[tuple[str, str]] = []
        self.removed: list[References] = []
        self._verdict, self._problem, self._draw = verdict, reference_problem, random.Random(5)

    def attempt(
        self, subject: Subject, what: Runnable | NativeCase, references: References | None
    ) -> Attempted:
        assert (references is None) == what.is_process
        verdict = self._verdict(subject, what.entry.scenario, self._draw)
        self.now += 0.2
        names = [{"verdict": verdict, "name": "torn"}] if verdict == "mismatch" else []
        end: dict[str, Any] = {"verdict": verdict, "findings": names, "headline": f"made up: {verdict}"}
        return Attempted(classify(subject.fault, end, {}), 0.2, int(verdict == "mismatch"), end)

    def references(self, subject: Subject, what: Runnable) -> References:
        self.made.append((subject.label, what.name))
        self.now += 0.5
        problem = self._problem if "Broken" in what.name else ""
        judged = Judged(Verdict.ERROR if problem else Verdict.PASS, problem)
        return MadeUpReferences(
            shown=Attempt("reference", 0, judged, 0, 0.5), seconds=0.5, removed=self.removed
        )


def always(verdict: str) -> Callable[[Subject, str, random.Random], str]:
    return lambda *_: verdict


def watch(runner: MadeUp, *entries: Runnable, rule: StopRule | None = None, limit_s: float = 1e9) -> Tally:
    watcher = Watcher(runner, entries, 1, lambda: runner.now >= limit_s, {})
    return watcher.watch(Subject("fork", COPY), rule or StopRule.for_share(100.0, 0.5))


class TestWatching:
    def test_ends_with_the_kills_that_were_wanted(self) -> None:
        tally = watch(MadeUp(always("mismatch")), runnable("A"))
        assert tally.ended_by_kill
        assert tally.total.kills == estimate.KILLS_MAX
        assert tally.rate.is_killed()
        assert tally.rate.reference_s == pytest.approx(0.5)

    def test_ends_when_even_the_upper_bound_is_too_low(self) -> None:
        tally = watch(MadeUp(always("pass")), runnable("A"))
        assert not tally.ended_by_kill
        assert tally.rate.is_excluded()
        assert 63.0 < tally.total.seconds < 65.0

    def test_wrong_verdicts_cost_time_and_kill_nothing(self) -> None:
        tally = watch(MadeUp(always("crash")), runnable("A"))
        assert tally.total.kills == 0
        assert tally.total.wrong_verdicts == tally.total.attempts
        assert not tally.rate.is_killed()

    def test_a_second_beside_another_watch_is_half_a_second(self) -> None:
        runner = MadeUp(always("pass"))
        watches = iter(
            [1, 1, 2, 2, 2, 1]
        )  # at the beginning, at the reference, and at the end of each attempt
        watcher = Watcher(runner, [runnable("A")], 1, lambda: runner.now >= 1.2, {}, lambda: next(watches))
        tally = watcher.repeat(Subject("fork", COPY), 9, {})
        assert tally.total.attempts == 4
        assert tally.total.seconds == pytest.approx(0.8)
        assert tally.rate.attempt_s == pytest.approx(0.1 + 0.1 + 0.1 + 0.2)
        assert tally.rate.reference_s == pytest.approx(0.5)

    def test_every_entry_has_one_reference_which_is_removed(self) -> None:
        runner = MadeUp(always("pass"))
        watch(runner, runnable("A"), runnable("B"), process("C"))
        assert sorted(name for _, name in runner.made) == [runnable("A").name, runnable("B").name]
        assert len(runner.removed) == 2

    def test_a_reference_that_was_not_made_is_charged_all_the_same(self) -> None:
        rare = runnable("Rare", seconds=0.2, share=1e-6)
        runner = MadeUp(always("mismatch"))
        tally = watch(runner, runnable("A"), rare)
        assert [name for _, name in runner.made] == [runnable("A").name]
        assert tally.rate.reference_s == pytest.approx(1.0)

    def test_an_entry_without_a_reference_is_left_out_and_told(self) -> None:
        runner = MadeUp(always("mismatch"), reference_problem="made up")
        tally = watch(runner, runnable("A"), runnable("Broken"))
        assert set(tally.entries) == {runnable("A").name}
        assert tally.notes == [f"{runnable('Broken').name}: no reference: error: made up"]

    def test_no_entry_at_all_ends_it(self) -> None:
        tally = watch(MadeUp(always("pass"), reference_problem="made up"), runnable("Broken"))
        assert tally.cut_short
        assert tally.total.attempts == 0

    def test_the_end_of_all_seconds_cuts_it_short(self) -> None:
        tally = watch(MadeUp(always("pass")), runnable("A"), limit_s=3.0)
        assert tally.cut_short
        assert not tally.rate.is_excluded()


def options(**changes: Any) -> PowerOptions:
    given: dict[str, Any] = {
        "faults": None, "seconds": "100000", "threads": None, "seed": "1", "probability": "0.01,0.1,0.001",
        "twins": True, "workers": "1",
        "blind": False, "results": "nowhere", "json": False, "allocation": None,
    }  # fmt: skip
    return parse(argparse.Namespace(**{**given, **changes}))


def unmeasured(given: PowerOptions) -> PowerMeasurement:
    designs = dict.fromkeys(one.design for one in given.faults)
    entries: dict[str, tuple[Runnable | NativeCase, ...]] = dict.fromkeys(
        designs, (runnable("A"), runnable("B"))
    )
    return PowerMeasurement(given, "2.13.0", str(Path("nowhere")), entries)


def run(
    runner: MadeUp, measured: PowerMeasurement, kind: type[Measurement] = Measurement, **more: Any
) -> None:
    given = measured.options
    shares = Shares(given.seconds, weight_of(given), lambda: runner.now)
    kind(given, runner, shares, measured, **more).run()


def measure(runner: MadeUp, given: PowerOptions) -> PowerMeasurement:
    measured = unmeasured(given)
    run(runner, measured)
    return measured


def only_faults(subject: Subject, _: str, draw: random.Random) -> str:
    """Kill every third fault in every other attempt, in proportion to the probability; never a twin."""
    if subject.fault is None or subject.twin or FAULTS.index(subject.fault) % 3:
        return "pass"
    return subject.fault.verdict if draw.random() < 0.5 * subject.scale else "pass"


class TestMeasurement:
    def test_the_score_counts_killed_faults_of_all(self) -> None:
        measured = measure(MadeUp(only_faults), options())
        expected = len(range(0, len(FAULTS), 3))
        assert score(measured, 0.01).killed == expected
        assert score(measured, 0.1).killed == expected
        assert score(measured, 0.001).killed < expected
        assert not measured.alarms

    def test_at_least_a_thousand_attempts_with_twins(self) -> None:
        data = json.loads(json_text(measure(MadeUp(only_faults), options())))
        assert TWIN_ATTEMPTS_EACH * len(FAULTS) >= TWIN_ATTEMPTS
        assert data["twin_attempts"] == TWIN_ATTEMPTS_EACH * len(FAULTS)
        assert data["twins_killed"] == 0
        assert data["fault_free_attempts"] > 0

    def test_runs_without_any_fault_leave_time_for_the_twins_of_a_short_run(self) -> None:
        given = options(faults="copy_torn", seconds="20", probability="0.01")
        measured = unmeasured(given)
        many = tuple(runnable(f"Entry{number}") for number in range(200))
        measured.entries = dict.fromkeys(measured.entries, many)
        run(MadeUp(always("pass")), measured)
        data = json.loads(json_text(measured))
        assert data["twin_attempts"] > 0
        assert data["fault_free_attempts"] > 0

    def test_a_failing_twin_is_printed_in_full(self) -> None:
        def bad_twin(subject: Subject, name: str, draw: random.Random) -> str:
            return "hang" if subject.twin and subject.fault == COPY else only_faults(subject, name, draw)

        measured = measure(MadeUp(bad_twin), options(faults="copy_torn,commit_twice"))
        assert measured.alarms == TWIN_ATTEMPTS_EACH
        assert json.loads(json_text(measured))["twins_killed"] == 1
        assert "FALSE ALARM: copy_torn/twin" in text(measured)
        assert '"headline": "made up: hang"' in text(measured)

    def test_json_has_what_was_promised(self) -> None:
        data = json.loads(
            json_text(measure(MadeUp(only_faults), options(faults="pool_counter_unlocked,copy_torn")))
        )
        assert data["simulated"] is True
        assert data["score"] == pytest.approx(0.5)
        assert list(data["scores"]) == ["0.01", "0.1", "0.001"]
        killed, survivor = data["faults"]
        assert (killed["name"], killed["killed"], killed["killed_95"]) == (
            "pool_counter_unlocked",
            True,
            True,
        )
        assert killed["kill_rate_low_per_s"] < killed["kill_rate_per_s"] < killed["kill_rate_high_per_s"]
        assert killed["names"] == {"mismatch torn": killed["kills"]}
        assert killed["right_name_share"] == killed["right_verdict_share"] == 1.0
        assert killed["strikes_per_s"] > 0
        assert killed["best_entry"] in {runnable("A").name, runnable("B").name}
        assert killed["scales"]["0.1"]["killed"] is True
        assert (survivor["killed"], survivor["kill_rate_per_s"], survivor["best_entry"]) == (False, 0.0, None)
        assert survivor["twin"] == {"attempts": TWIN_ATTEMPTS_EACH, "alarms": 0}

    def test_the_table_has_a_row_per_fault_and_the_score(self) -> None:
        told = text(measure(MadeUp(only_faults), options()))
        for fault in FAULTS:
            assert f"\n {fault.name}  " in told
        killed = len(range(0, len(FAULTS), 3))
        share = round(100 * killed / len(FAULTS))
        assert f"score, killed at 99.999 % in 64 s: {killed} of {len(FAULTS)} = {share} %" in told
        assert "score at probability 0.001: " in told
        assert "simulated device" in told

    def test_too_few_seconds_are_told(self) -> None:
        measured = measure(MadeUp(only_faults), options(seconds="60", twins=False))
        assert score(measured, 0.01).undecided > 0
        assert "--seconds=60 was too little to decide" in text(measured)

    def test_an_interrupt_leaves_what_was_measured_by_then(self) -> None:
        def interrupted(subject: Subject, name: str, draw: random.Random) -> str:
            if subject.fault == COPY:
                raise KeyboardInterrupt
            return only_faults(subject, name, draw)

        given = options(faults="pool_counter_unlocked,copy_torn")
        runner = MadeUp(interrupted)
        measured = unmeasured(given)
        with pytest.raises(KeyboardInterrupt):
            run(runner, measured)
        measured.interrupted = True
        told = text(measured)
        assert "1 of 2 = 50 %" in told
        assert "\n copy_torn  " in told
        assert "INTERRUPTED" in told

    def test_workers_share_the_faults_and_a_second_of_each_is_half_of_one(self) -> None:
        runners = [MadeUp(only_faults), MadeUp(only_faults)]
        measured = unmeasured(options(workers="2", twins=False))
        run(runners[0], measured, others=runners[1:])
        alone = measure(MadeUp(only_faults), options(twins=False))
        for label, tally in measured.tallies.items():
            rate, other = tally.rate, alone.tallies[label].rate
            assert tally.total.kills in (0, estimate.KILLS_MAX)
            assert 0.999 * tally.total.seconds / 2 <= rate.attempt_s <= 1.001 * tally.total.seconds
            assert 0.999 * other.reference_s / 2 <= rate.reference_s <= 1.001 * other.reference_s
        assert set(measured.tallies) == set(alone.tallies)
        assert json.loads(json_text(measured))["workers"] == 2
        assert "killed at 99.999 % in 64 s of 2 workers: " in text(measured)
        made = [one for runner in runners for one in runner.made]
        assert len(set(made)) == len(made), "each fault is watched by one of them"

    def test_an_error_of_one_worker_ends_the_others(self) -> None:
        def broken(*_: Any) -> str:
            raise RuntimeError("the disk is full")

        runner = MadeUp(only_faults)
        measured = unmeasured(options(workers="2", twins=False))
        with pytest.raises(RuntimeError, match="the disk is full"):
            run(runner, measured, others=[MadeUp(broken)])
        assert len(measured.tallies) < len(FAULTS)

    def test_exploring_tries_every_entry_as_often_and_gives_no_score(self) -> None:
        runner = MadeUp(only_faults)
        measured = unmeasured(options(faults="copy_torn,commit_twice"))
        run(runner, measured, Exploration, attempts=3)
        for tally in measured.tallies.values():
            assert {one.attempts for one in tally.entries.values()} == {3}
        assert len(runner.made) == 4  # one reference per entry and design


class TestShares:
    def test_early_ends_leave_more_to_the_others(self) -> None:
        now = 0.0
        shares = Shares(100.0, 10.0, lambda: now)
        assert shares.take(1.0) == pytest.approx(30.0)
        now = 1.0
        assert shares.take(1.0) == pytest.approx(33.0)
        now = 99.0
        assert shares.take(8.0) == pytest.approx(1.0)
        now = 101.0
        assert shares.left_s == 0.0

    def test_blind_ones_that_all_take_theirs_leave_the_last_as_much(self) -> None:
        now = 0.0
        shares = Shares(100.0, 10.0, lambda: now, oversubscription=OVERSUBSCRIPTION_BLIND)
        for _ in range(10):
            taken = shares.take(1.0)
            assert taken == pytest.approx(10.0)
            now += taken

    def test_what_is_reserved_keeps_its_fair_share(self) -> None:
        shares = Shares(100.0, 10.0, lambda: 0.0)
        assert shares.take(8.0, reserved=2.0) == pytest.approx(80.0)
        assert shares.take(2.0) == pytest.approx(100.0)
