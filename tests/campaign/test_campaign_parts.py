"""The campaign's arithmetic, its counts and its folded records."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stress.commands.campaign.allocation import FLOOR
from stress.commands.campaign.allocation import SETTLED_FAILURES
from stress.commands.campaign.allocation import Standing
from stress.commands.campaign.allocation import chances
from stress.commands.campaign.allocation import shares
from stress.commands.campaign.folding import fold
from stress.commands.campaign.folding import fold_oldest
from stress.commands.campaign.progress import duration
from stress.commands.campaign.progress import rate_line
from stress.commands.campaign.resume import find_killed
from stress.commands.campaign.resume import status_of
from stress.commands.campaign.summary import Ending
from stress.commands.campaign.summary import text
from stress.commands.campaign.tally import Arm
from stress.commands.campaign.tally import CampaignTally
from stress.isolate import supervisor
from stress.isolate.attempt_runner import AttemptRunner
from stress.isolate.backend import Exit
from stress.isolate.backend import IsolationError
from stress.model.spec import ChildSpec
from stress.record.aggregate.folders import read_folders
from stress.record.folder import host_name

KNOWN = {"metal/double-commit"}


class TestShares:
    def test_are_equal_while_nothing_has_failed(self) -> None:
        assert shares([Standing(10.0, 1, 0), Standing(99.0, 5, 0)]) == [0.5, 0.5]

    def test_move_to_what_fails_and_keep_a_floor(self) -> None:
        quiet, loud = shares([Standing(10.0, 1, 0), Standing(10.0, 1, 3)])
        assert quiet == FLOOR / 2
        assert loud == pytest.approx(1 - FLOOR / 2)

    def test_follow_failures_per_second_and_not_their_number(self) -> None:
        slow, fast = shares([Standing(100.0, 5, 4), Standing(10.0, 1, 2)])
        assert fast > slow

    def test_return_to_the_floor_when_a_rate_is_settled(self) -> None:
        known, fresh = shares([Standing(10.0, 1, SETTLED_FAILURES), Standing(100.0, 9, 1)])
        assert known == FLOOR / 2 < fresh

    def test_are_of_the_time_and_not_of_the_turns(self) -> None:
        long, short = chances([Standing(100.0, 10, 0), Standing(10.0, 10, 0)])
        assert short == pytest.approx(10 * long)

    def test_of_nothing_are_nothing(self) -> None:
        assert shares([]) == chances([]) == []


def _start(attempt: int, item: str = "a.py::A[t2]", role: str = "crew", **more: Any) -> dict[str, Any]:
    return {"kind": "attempt_start", "item": item, "role": role, "attempt": attempt, "serial": attempt + 1, "scenario": "A",
            "params": {}, "threads": 2, "iterations": 1, "seed": 1, "command": "", **more}  # fmt: skip


def _end(
    attempt: int, verdict: str, item: str = "a.py::A[t2]", role: str = "crew", **more: Any
) -> dict[str, Any]:
    return {"kind": "attempt_end", "item": item, "role": role, "attempt": attempt, "serial": attempt + 1, "verdict": verdict,
            "seconds": 0.5, "headline": "it said so", **more}  # fmt: skip


def _item(verdict: str, counted: int, item: str = "a.py::A[t2]") -> dict[str, Any]:
    return {"kind": "item", "item": item, "verdict": verdict, "seconds": 2.0, "attempts": counted, "counted": counted,
            "failures": 0, "verdicts": {}, "headline": ""}  # fmt: skip


def _tally(*arms: Arm, baseline: set[tuple[str, str]] | None = None) -> CampaignTally:
    return CampaignTally(arms or [Arm("a.py::A[t2]")], KNOWN, baseline or set())


class TestTally:
    def test_counts_what_enters_a_rate(self) -> None:
        tally = _tally()
        for number, verdict in enumerate(["pass", "crash", "inconclusive", "interesting"]):
            tally.see(_start(number))
            tally.see(_end(number, verdict))
        (arm,) = tally.arms.values()
        assert (arm.counted, arm.failures, tally.attempts) == (3, 1, 4)
        assert arm.first["crew"] == 4

    def test_knows_what_is_new(self) -> None:
        tally = _tally(baseline={("a.py::A", "hang: it said so")})
        for number, (verdict, signature) in enumerate(
            [("crash", "metal/double-commit"), ("hang", None), ("crash", "own/name"), ("crash", "own/name")]
        ):
            tally.see(_start(number))
            tally.see(_end(number, verdict, signature=signature))
        assert tally.known_failures == 2
        assert [(one.name, one.serial) for one in tally.news.values()] == [("own/name", 3)]

    def test_takes_what_is_declared_acceptable_for_no_news(self) -> None:
        tally = _tally(Arm("a.py::A[t2]", acceptable={"race"}))
        tally.see(_start(0))
        tally.see(_end(0, "race"))
        (arm,) = tally.arms.values()
        assert not tally.news
        assert arm.failures == 1
        assert arm.standing.failures == 0

    def test_counts_foreign_kills_apart(self) -> None:
        tally = _tally()
        tally.see(_start(0))
        tally.see(_end(0, "inconclusive", signal="SIGKILL"))
        assert (tally.foreign_kills, tally.failing) == (1, [])

    def test_names_what_has_no_end(self) -> None:
        tally = _tally()
        tally.see(_start(0))
        tally.see(_end(0, "pass"))
        tally.see(_start(1))
        tally.process_died()
        assert tally.unfinished == [2]

    def test_sets_aside_what_never_counts(self) -> None:
        tally = _tally()
        (arm,) = tally.arms.values()
        for _ in range(3):
            assert not arm.is_set_aside
            tally.see(_item("broken", 0))
        assert arm.is_set_aside

    def test_wants_every_round_of_a_canary_found(self) -> None:
        tally = _tally(Arm("a.py::A[t2]", is_canary=True))
        tally.see(_item("pass", 5))
        tally.see(_item("inconclusive", 5))
        assert (tally.canary_rounds, tally.canary_rounds_cut) == ((1, 2), 0)

    def test_calls_no_canary_missed_that_was_killed(self) -> None:
        """Its reference had been shot, or one of its attempts: the rest of them could have found it by luck alone."""
        tally = _tally(Arm("a.py::A[t2]", is_canary=True))
        tally.see(_item("inconclusive", 0))
        tally.see({**_item("inconclusive", 3), "attempts": 5})
        tally.see(_item("pass", 5))
        assert (tally.canary_rounds, tally.canary_rounds_cut) == ((1, 1), 2)

    def test_replaces_what_a_late_report_amends(self) -> None:
        tally = _tally()
        tally.see(_start(0))
        tally.see(_end(0, "pass"))
        tally.see(_end(0, "crash", amends=True))
        (arm,) = tally.arms.values()
        assert (arm.counted, arm.failures) == (1, 1)

    def test_takes_back_what_no_fresh_process_shows(self) -> None:
        tally = _tally()
        for age, verdict in enumerate(("pass", "pass", "mismatch")):
            tally.see(_start(age))
            tally.see(_end(age, verdict, process=1, age=age))
        (arm,) = tally.arms.values()
        assert (arm.counted, arm.failures, len(tally.news)) == (1, 1, 1)
        tally.see(_end(2, "aged", process=1, age=2, was="mismatch", amends=True))
        assert (arm.counted, arm.failures, len(tally.news)) == (1, 0, 0)


class TestTheEnd:
    @pytest.mark.parametrize(
        ("rounds", "told", "is_bad"),
        [
            ([("pass", 5, 5)], "canaries: found in the only round", False),
            ([("pass", 5, 5)] * 2 + [("inconclusive", 0, 0)], "canaries: found in all 2 rounds; 1 round cut short by what does not count", False),
            ([("pass", 5, 5), ("inconclusive", 5, 5)], "CANARY MISSED in 1 of 2 rounds: the green results are worth nothing", True),
            ([("inconclusive", 5, 4)], "no canary ran; 1 round cut short by what does not count: nothing shows that a fault would have been found; add scenarios/canary.py", True),
        ],
    )  # fmt: skip
    def test_says_what_the_canaries_are_worth(
        self, rounds: list[tuple[str, int, int]], told: str, is_bad: bool
    ) -> None:
        tally = _tally(Arm("a.py::A[t2]"), Arm("a.py::Planted[t2]", is_canary=True))
        tally.see(_start(0))
        tally.see(_end(0, "pass"))
        for verdict, attempts, counted in rounds:
            tally.see({**_item(verdict, counted, "a.py::Planted[t2]"), "attempts": attempts})
        ending = Ending(
            tally, "run", "replay run/{}".format, "runs/run", "cpu", False, 9.0, 9.0, {}, "", 0, []
        )
        assert told in text(ending, 200, color=False).splitlines()
        assert ending.is_bad is is_bad

    def test_says_rates_as_they_are_read(self) -> None:
        tally = _tally(Arm("a.py::A[t2]"))
        for number in range(50):
            tally.see(_start(number))
            tally.see(_end(number, "crash"))
        ending = Ending(
            tally, "run", "replay run/{}".format, "runs/run", "cpu", False, 9.0, 9.0, {}, "", 0, []
        )
        assert " 50  50  89.5-100.0 % " in text(ending, 200, color=False)


class TestTheLine:
    def test_says_how_it_stands(self) -> None:
        tally = _tally()
        tally.see(_start(0))
        tally.see(_end(0, "crash"))
        assert rate_line(tally, spent_s=61.0, seconds=28800.0, here_s=2.0) == (
            "1 min 1 s of 8 h: 1 attempt, 0.5 per s; 1 failed in 1 item (most often 1 of 1, 2.5-100.0 %: A[t2]), 1 new; "
            "no canary yet"
        )
        for attempt in range(1, 20):
            tally.see(_start(attempt))
            tally.see(_end(attempt, "pass"))
        assert "(most often 1 of 20, 0.016-33.1 %: A[t2])" in rate_line(
            tally, spent_s=61.0, seconds=1.0, here_s=2.0
        )

    @pytest.mark.parametrize(
        ("seconds", "told"), [(0, "0 s"), (59.6, "1 min"), (3600, "1 h"), (7260, "2 h 1 min")]
    )
    def test_tells_times_as_people_do(self, seconds: float, told: str) -> None:
        assert duration(seconds) == told


class TestFolding:
    @pytest.fixture
    def results(self, tmp_path: Path) -> Path:
        return tmp_path / "runs"

    def _write(self, results: Path, run: str, *records: dict[str, Any], command: str = "campaign") -> Path:
        folder = results / run
        folder.mkdir(parents=True, exist_ok=True)
        first = {"kind": "run", "argv": [], "rootdir": "/", "seed": 1, "device": "cpu", "simulated": False, "settings": {},
                 "environment": {}, "command": command}  # fmt: skip
        last = {"kind": "run_end", "seconds": 9.0, "exit_status": 0, "verdicts": {}}
        path = folder / f"host-1-{len(list(folder.iterdir()))}.jsonl"
        lines = [{"v": 1, "run": run, "time": 5.0, **one} for one in (first, *records, last)]
        path.write_text("".join(json.dumps(one) + "\n" for one in lines))
        return path

    def _clean(self) -> Iterator[dict[str, Any]]:
        for number in range(40):
            yield _start(number)
            yield _end(number, "inconclusive" if number == 7 else "pass")
        yield _start(0, "a.py::C[t2]", canary=True)
        yield _end(0, "mismatch", "a.py::C[t2]", stderr="host-1-0-41.stderr")
        yield _item("pass", 39)

    def test_leaves_every_rate_as_it_was(self, results: Path) -> None:
        path = self._write(results, "one", *self._clean())
        (path.parent / "host-1-0-41.stderr").write_text("planted")
        before = read_folders([results])
        size = path.stat().st_size
        assert fold(path)
        after = read_folders([results])
        assert path.stat().st_size < size / 4
        assert not (path.parent / "host-1-0-41.stderr").exists()
        assert not after.problems
        for key, cell in before.cells.items():
            same = after.cells[key]
            assert (same.verdicts, same.threads, same.is_canary, same.by_run, same.seconds) == (
                cell.verdicts, cell.threads, cell.is_canary, cell.by_run, cell.seconds,
            )  # fmt: skip
        assert after.runs["one"].attempts == before.runs["one"].attempts == 41
        assert not after.runs["one"].was_killed

    @pytest.mark.parametrize(
        "records",
        [
            pytest.param([_start(0), _end(0, "crash")], id="finding"),
            pytest.param([_start(0)], id="no-end"),
            pytest.param([], id="nothing"),
        ],
    )
    def test_touches_nothing_else(self, results: Path, records: list[dict[str, Any]]) -> None:
        path = self._write(results, "one", *records)
        before = path.read_bytes()
        assert not fold(path)
        assert path.read_bytes() == before

    def test_leaves_other_commands_and_torn_files_alone(self, results: Path) -> None:
        assert not fold(self._write(results, "one", *self._clean(), command=""))
        torn = self._write(results, "two", *self._clean())
        torn.write_text(torn.read_text() + '{"v":1,')
        assert not fold(torn)

    def test_begins_with_the_oldest_and_stops_at_the_limit(self, results: Path) -> None:
        paths = [self._write(results, name, *self._clean()) for name in ("a", "b", "c")]
        sizes = [one.stat().st_size for one in paths]
        assert fold_oldest(results, paths[2], sum(sizes) - 1) == 1
        assert [one.stat().st_size == size for one, size in zip(paths, sizes, strict=True)] == [
            False,
            True,
            True,
        ]
        assert fold_oldest(results, paths[2], 1) == 1, (
            "what is folded is not folded again, what is written never"
        )

    @pytest.mark.parametrize("verdicts", [{"crash": 1}, {"pass": -1}, {"green": 1}, {"pass": 10**12}])
    def test_a_strangers_totals_count_only_where_they_could_be_ours(
        self, results: Path, verdicts: dict[str, int]
    ) -> None:
        total = {
            "kind": "totals",
            "item": "a.py::A[t2]",
            "role": "crew",
            "threads": 2,
            "verdicts": verdicts,
            "seconds": 1.0,
        }
        self._write(results, "one", total)
        whole = read_folders([results])
        assert not whole.cells
        assert "totals of " in whole.problems[0]


BEFORE_BOOT = 5.0
"""Seconds since 1970: no machine that runs this has been up since then."""


class TestFindKilled:
    def _campaign(
        self, results: Path, name: str, until: float, *, status: int | None, last_time: float = BEFORE_BOOT
    ) -> None:
        folder = results / name
        folder.mkdir(parents=True)
        run = {"kind": "run", "argv": [], "rootdir": "/", "seed": 1, "device": "cpu", "simulated": False, "settings": {},
               "environment": {}, "command": "campaign", "until": until}  # fmt: skip
        end = {"kind": "run_end", "seconds": 1.0, "exit_status": status, "verdicts": {}}
        records = [run, end] if status is not None else [run]
        lines = [{"v": 1, "run": name, "time": last_time, **one} for one in records]
        (folder / f"{host_name()}-1-1.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))

    def test_is_the_newest_one_without_an_end(self, tmp_path: Path) -> None:
        self._campaign(tmp_path, "1", 100.0, status=None)
        self._campaign(tmp_path, "2", 100.0, status=None)
        (tmp_path / "3").mkdir()
        found = find_killed(tmp_path, 50.0)
        assert found is not None
        assert found.folder.name == "2"

    def test_is_none_when_its_time_is_up_or_it_ended(self, tmp_path: Path) -> None:
        self._campaign(tmp_path / "a", "1", 100.0, status=None)
        self._campaign(tmp_path / "b", "1", 100.0, status=0)
        assert find_killed(tmp_path / "a", 100.0) is None
        assert find_killed(tmp_path / "b", 50.0) is None
        assert find_killed(tmp_path / "none", 50.0) is None

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_is_one_that_a_restart_in_good_order_has_ended(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        self._campaign(tmp_path, "1", 100.0, status=status_of(number))
        assert find_killed(tmp_path, 50.0) is not None

    def test_is_none_where_somebody_wanted_the_end(self, tmp_path: Path) -> None:
        now = time.time()
        term = status_of(signal.SIGTERM)
        self._campaign(tmp_path / "a", "1", now + 100.0, status=term, last_time=now)  # no restart since
        self._campaign(tmp_path / "b", "1", 100.0, status=status_of(signal.SIGINT))
        assert find_killed(tmp_path / "a", now) is None
        assert find_killed(tmp_path / "b", 50.0) is None


class TestACrewThatCannotBeStarted:
    def test_leaves_an_end_all_the_same(self, tmp_path: Path) -> None:
        """A start without an end means that the machine or the parent died; a server that was killed is neither."""
        records: list[tuple[str, Any]] = []

        def no_child(spec: ChildSpec, workers: int) -> Any:
            spec.file("blackbox").write_text("")
            raise IsolationError("lost the fork server")

        runner = AttemptRunner(no_child, lambda kind, **fields: records.append((kind, fields.get("verdict"))))
        spec = ChildSpec("crew", str(tmp_path), "host-1-0-1", "cpu", deadline_s=60.0)
        with pytest.raises(IsolationError):
            runner.run(spec, 0, {"item": "a", "role": "crew", "attempt": 0}, {})
        assert records == [("attempt_start", None), ("attempt_end", "broken")]
        assert not list(tmp_path.iterdir())


class TestSleep:
    """A machine that slept during an attempt: the clock of the day went on, the other one did not."""

    def _judged(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: dict[str, Any]) -> Any:
        day = iter([1000.0, 1300.0])
        monkeypatch.setattr("stress.isolate.attempt_runner.time.time", lambda: next(day, 1300.0))
        spec = ChildSpec("crew", str(tmp_path), "host-1-0-1", "cpu", deadline_s=60.0)
        ended = supervisor.ChildRun(spec, started=1000.0, seconds=61.0, pid=1, **run)
        records: list[str] = []
        runner = AttemptRunner(lambda spec, workers: ended, lambda kind, **fields: records.append(kind))
        attempt, _, _ = runner.run(spec, 0, {"item": "a", "role": "crew", "attempt": 0}, {})
        assert records == ["attempt_start", "attempt_end"]
        return attempt.judged

    def test_makes_no_hang(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        judged = self._judged(tmp_path, monkeypatch, {"result": None, "exit": None, "hung": True})
        assert judged.verdict == "inconclusive"
        assert judged.headline.startswith(
            "the machine slept (or its clock was set) for 300 s during the attempt: "
        )

    def test_unmakes_no_crash(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = Exit(-6, 0.0, 0)
        judged = self._judged(tmp_path, monkeypatch, {"result": None, "exit": ended, "hung": False})
        assert judged.verdict == "crash"
        assert "slept" in judged.notes[0]
