"""`mps-stress compare`: worse, better, not to be told apart; new, gone and known failures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stress.commands.compare.command import compare
from stress.commands.compare.judge import PairResult
from stress.commands.compare.pairs import CompareError
from stress.commands.compare.report import Compared
from stress.commands.compare.report import text_of
from stress.model import stats
from stress.record.aggregate import read_folders
from tests.made_records import CRASH
from tests.made_records import FORK
from tests.made_records import MAC
from tests.made_records import Made
from tests.made_records import hostile_strings
from tests.made_records import run_of
from tests.made_records import simulated

LINEAR = "scenarios/linear.py::SharedLinear[float32-t8]"
NORM = "scenarios/layer_norm.py::SharedLayerNorm[t8]"
POOL = "scenarios/streams.py::ThreadChurn[t8]"


def compared(
    tmp_path: Path, base: Mapping[str, Mapping[str, int]], new: Mapping[str, Mapping[str, int]], **fields: Any
) -> Compared:
    run_of(tmp_path / "base", base)
    run_of(tmp_path / "new", new, **{"torch": FORK, **fields})
    return compare(tmp_path / "base", tmp_path / "new", any_settings=False)


def text(result: Compared) -> str:
    return text_of(result, width=120, show_all=False)


class TestAnswers:
    def test_worse_better_and_not_to_be_told(self, tmp_path: Path) -> None:
        result = compared(
            tmp_path,
            {
                LINEAR: {"pass": 48, "crash": 2},
                NORM: {"crash": 40, "pass": 10},
                POOL: {"pass": 48, "hang": 2},
            },
            {LINEAR: {"pass": 20, "crash": 30}, NORM: {"pass": 50}, POOL: {"pass": 46, "hang": 4}},
        )
        answers = {row.item: row.answer for row in result.rows[0]}
        assert answers == {LINEAR: PairResult.WORSE, NORM: PairResult.BETTER, POOL: PairResult.UNTOLD}
        assert result.exit_status == 1
        told = text(result)
        assert "WORSE (p below 0.0001)" in told
        assert "cannot be told apart, needs about" in told

    def test_the_p_values_are_fishers_with_holms_correction(self, tmp_path: Path) -> None:
        scipy = pytest.importorskip("scipy.stats")
        items = {f"a.py::S{number}[t8]": (number, 2 * number) for number in range(1, 8)}
        result = compared(
            tmp_path,
            {name: {"crash": a, "pass": 30 - a} for name, (a, _) in items.items()},
            {name: {"crash": b, "pass": 20 - b} for name, (_, b) in items.items()},
        )
        raw = [
            scipy.fisher_exact([[b, 20 - b], [a, 30 - a]], alternative="greater").pvalue
            for a, b in items.values()
        ]
        # The seven items together, whose failures all have one name, are one more test.
        together = stats.stratified_one_sided([(a, 30, b, 20) for a, b in items.values()])[0]
        adjusted = stats.holm([*raw, together])[:-1]
        assert [row.p_worse for row in result.rows[0]] == pytest.approx(adjusted, abs=1e-6)

    def test_clean_items_take_no_share_of_the_level_and_tell_what_they_exclude(self, tmp_path: Path) -> None:
        clean = {f"a.py::S{number}[t8]": {"pass": 20} for number in range(200)}
        base = {LINEAR: {"pass": 20}, **clean}
        result = compared(tmp_path, base, {LINEAR: {"pass": 12, "hang": 8}, **clean})
        (worse,) = result.worse
        assert worse.p_worse == pytest.approx(stats.fisher_one_sided(0, 20, 8, 20))
        assert (
            "200 items: no failure on either side; NEW's 20 attempts each exclude rates of 14 % and more"
            in text(result)
        )

    def test_what_does_not_count_enters_no_test(self, tmp_path: Path) -> None:
        result = compared(tmp_path, {LINEAR: {"pass": 5}}, {LINEAR: {"inconclusive": 5}})
        assert [row.answer for row in result.rows[0]] == [PairResult.EMPTY]
        assert "none of 5 counts" in text(result)

    def test_nothing_worse_is_not_told_as_no_difference(self, tmp_path: Path) -> None:
        result = compared(tmp_path, {LINEAR: {"pass": 5}}, {LINEAR: {"pass": 5}})
        assert result.exit_status == 0
        assert "No regression detected (95 %). That does not prove there is none." in text(result)

    def test_needed_attempts_would_tell(self, tmp_path: Path) -> None:
        result = compared(tmp_path, {LINEAR: {"pass": 18, "hang": 2}}, {LINEAR: {"pass": 20}})
        (row,) = result.rows[0]
        assert row.needed is not None
        n = 20 + row.needed
        assert stats.fisher_one_sided(0, n, round(0.1 * n), n) < 0.05
        assert stats.fisher_one_sided(0, 30, 3, 30) > 0.05


class TestCanaries:
    def test_are_no_rows(self, tmp_path: Path) -> None:
        for name, found in (("base", 5), ("new", 0)):
            made = Made(tmp_path / name)
            made.attempts("c.py::LostUpdate[t8]", {"race": found, "pass": 5 - found})
            made.item("c.py::LostUpdate[t8]", "pass", 5, found, canary=True)
            made.attempts(LINEAR, {"pass": 5})
            made.end()
        result = compare(tmp_path / "base", tmp_path / "new", any_settings=False)
        assert [row.item for row in result.rows[0]] == [LINEAR]
        assert "canaries found: BASE 1 of 1, NEW 0 of 1" in text(result)


class TestNames:
    def test_new_gone_and_known(self, tmp_path: Path) -> None:
        base = Made(tmp_path / "base")
        base.attempts(LINEAR, {"crash": 9}, signature="metal/encoder-overlap", headline=CRASH)
        base.attempts(LINEAR, {"pass": 11})
        new = Made(tmp_path / "new", torch=FORK)
        new.attempts(LINEAR, {"mismatch": 1}, findings=[{"name": "torn", "verdict": "mismatch"}])
        new.attempts(LINEAR, {"pass": 19})
        result = compare(base.end().folder, new.end().folder, any_settings=False)
        told = text(result)
        assert (
            "new (may be chance): mismatch: torn (not in results/known): BASE 0/20, NEW 1/20 in 1 item"
            in told
        )
        assert "gone: metal/encoder-overlap (known): BASE 9/20, NEW 0/20 in 1 item" in told
        assert [row.answer for row in result.rows[0]] == [PairResult.BETTER]
        assert result.exit_status == 1  # a failure that nobody has described


class TestOverSeveralItems:
    """A failure that no item shows by itself: two of ten attempts in each of 13 items."""

    ITEMS = tuple(f"a.py::S{number}[t8]" for number in range(14))

    def sides(self, tmp_path: Path, **failure: Any) -> Compared:
        run_of(tmp_path / "base", {one: {"pass": 10} for one in self.ITEMS})
        new = Made(tmp_path / "new", torch=FORK)
        for number, one in enumerate(self.ITEMS):
            failed = 2 if number else 0
            new.attempts(one, {"pass": 10 - failed, "crash": failed}, **failure)
        return compare(tmp_path / "base", new.end().folder, any_settings=False)

    @pytest.mark.parametrize("signature", ["metal/handler-after-commit", None])
    def test_a_name_that_chance_does_not_explain_is_worse_known_or_not(
        self, tmp_path: Path, signature: str | None
    ) -> None:
        result = self.sides(tmp_path, **({"signature": signature} if signature else {"headline": "boom"}))
        assert result.worse == []
        (name,) = result.worse_names
        assert (name.base, name.new) == (0, 26)
        assert result.exit_status == 1
        told = text(result)
        shown = f"{signature} (known)" if signature else "crash: boom (not in results/known)"
        assert f"new: {shown}: BASE 0/130, NEW 26/130 in 13 items: WORSE (p below 0.0001)" in told
        assert f"NEW is worse: {signature or 'crash: boom'}" in told
        assert "No regression detected" not in told

    def test_names_that_differ_by_item_are_seen_together(self, tmp_path: Path) -> None:
        run_of(tmp_path / "base", {one: {"pass": 10} for one in self.ITEMS})
        new = Made(tmp_path / "new", torch=FORK)
        words = (
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "a",
            "b",
            "c",
            "d",
        )
        for one, word in zip(self.ITEMS, words, strict=True):
            new.attempts(one, {"pass": 8, "crash": 2}, headline=f"boom {word}")
        result = compare(tmp_path / "base", new.end().folder, any_settings=False)
        assert (result.worse, result.worse_names) == ([], [])
        (together,) = result.worse_together
        assert (together.base, together.new) == (0, 28)
        told = text(result)
        assert "any failure: BASE 0/140, NEW 28/140 in 14 items: WORSE (p below 0.0001)" in told
        assert "NEW is worse: 14 items taken together" in told

    def test_a_name_that_is_gone_is_better(self, tmp_path: Path) -> None:
        self.sides(tmp_path, signature="metal/handler-after-commit")
        result = compare(tmp_path / "new", tmp_path / "base", any_settings=False)
        told = text(result)
        assert (
            "gone: metal/handler-after-commit (known): BASE 26/130, NEW 0/130 in 13 items: BETTER (p" in told
        )
        assert result.exit_status == 0

    def test_what_chance_explains_stays_undecided(self, tmp_path: Path) -> None:
        run_of(tmp_path / "base", {one: {"pass": 10} for one in self.ITEMS})
        new = Made(tmp_path / "new", torch=FORK)
        for number, one in enumerate(self.ITEMS):
            failed = 1 if number < 3 else 0
            new.attempts(one, {"pass": 10 - failed, "crash": failed}, signature="metal/encoder-overlap")
        result = compare(tmp_path / "base", new.end().folder, any_settings=False)
        assert "new (may be chance): metal/encoder-overlap (known): BASE 0/30, NEW 3/30 in 3 items" in text(
            result
        )
        assert result.exit_status == 0


class TestWhatIsGone:
    """What BASE has and NEW does not: nothing shows that it is not worse."""

    def test_items_that_did_not_run(self, tmp_path: Path) -> None:
        result = compared(tmp_path, {LINEAR: {"pass": 5}, NORM: {"pass": 5}}, {LINEAR: {"pass": 5}})
        told = text(result)
        assert f"only in BASE: {NORM}" in told
        assert "Nothing shows that 1 item of BASE is not worse: no attempt of it counts in NEW" in told
        assert "No regression detected" not in told
        assert result.exit_status == 1

    def test_items_of_which_no_attempt_counts(self, tmp_path: Path) -> None:
        result = compared(
            tmp_path, {LINEAR: {"pass": 5}, NORM: {"pass": 5}}, {LINEAR: {"pass": 5}, NORM: {"oom": 5}}
        )
        assert "Nothing shows that 1 item of BASE is not worse" in text(result)
        assert result.exit_status == 1

    def test_a_machine_that_did_not_run(self, tmp_path: Path) -> None:
        run_of(tmp_path / "base" / "a", {LINEAR: {"pass": 5}})
        run_of(tmp_path / "base" / "b", {LINEAR: {"pass": 5}}, environment={**MAC, "chip": "Apple M4"})
        run_of(tmp_path / "new", {LINEAR: {"pass": 5}}, torch=FORK)
        result = compare(tmp_path / "base", tmp_path / "new", any_settings=False)
        assert "only in BASE, not compared: real on Apple M4" in text(result)
        assert "No regression detected" not in text(result)
        assert result.exit_status == 1

    def test_a_canary_that_is_missed_now(self, tmp_path: Path) -> None:
        for name, found in (("base", 5), ("new", 0)):
            made = Made(tmp_path / name)
            made.attempts("c.py::LostUpdate[t8]", {"race": found, "pass": 5 - found})
            made.item("c.py::LostUpdate[t8]", "pass", 5, found, canary=True)
            made.attempts(LINEAR, {"pass": 5})
            made.end()
        result = compare(tmp_path / "base", tmp_path / "new", any_settings=False)
        assert "NEW missed a planted fault: its passes are worth nothing" in text(result)
        assert "No regression detected" not in text(result)
        assert result.exit_status == 1

    def test_items_that_are_new_are_no_loss(self, tmp_path: Path) -> None:
        result = compared(tmp_path, {LINEAR: {"pass": 5}}, {LINEAR: {"pass": 5}, NORM: {"pass": 5}})
        assert result.exit_status == 0


class TestWhatCannotBeCompared:
    def test_a_side_of_two_builds(self, tmp_path: Path) -> None:
        run_of(tmp_path / "base" / "a", {LINEAR: {"pass": 1}})
        run_of(tmp_path / "base" / "b", {LINEAR: {"pass": 1}}, torch=FORK)
        run_of(tmp_path / "new", {LINEAR: {"pass": 1}})
        with pytest.raises(CompareError, match=r"BASE has attempts of 2 builds .* never pooled"):
            compare(tmp_path / "base", tmp_path / "new", any_settings=False)

    def test_simulated_and_real(self, tmp_path: Path) -> None:
        run_of(tmp_path / "base", {LINEAR: {"pass": 1}})
        run_of(tmp_path / "new", {LINEAR: {"pass": 1}}, **simulated())
        with pytest.raises(CompareError, match="nothing can be compared"):
            compare(tmp_path / "base", tmp_path / "new", any_settings=True)

    def test_unlike_switches_unless_asked_for(self, tmp_path: Path) -> None:
        run_of(tmp_path / "base", {LINEAR: {"pass": 1}})
        env = {**MAC, "env": {"MPS_FORCE_GRAPH_PATH": "1"}}
        run_of(tmp_path / "new", {LINEAR: {"pass": 1}}, environment=env)
        with pytest.raises(CompareError, match="--any-settings"):
            compare(tmp_path / "base", tmp_path / "new", any_settings=False)
        result = compare(tmp_path / "base", tmp_path / "new", any_settings=True)
        assert "BASE: default settings; NEW: MPS_FORCE_GRAPH_PATH=1" in text(result)

    def test_groups_without_a_partner_are_told(self, tmp_path: Path) -> None:
        run_of(tmp_path / "base" / "a", {LINEAR: {"pass": 1}})
        run_of(tmp_path / "base" / "b", {LINEAR: {"pass": 1}}, **simulated())
        run_of(tmp_path / "new", {LINEAR: {"pass": 1}, NORM: {"pass": 1}})
        told = text(compare(tmp_path / "base", tmp_path / "new", any_settings=False))
        assert "only in BASE, not compared: simulated on AMD EPYC" in told
        assert f"only in NEW: {NORM}" in told


class TestThroughput:
    def run(
        self, folder: Path, factor: float, builds: tuple[str, ...] = ("this", "other"), rounds: int = 12
    ) -> Path:
        run_of(folder / "items", {LINEAR: {"pass": 5}})
        made = Made(folder / "speed", command="throughput")
        for number in range(rounds):
            for build in builds:
                rate = (
                    100.0
                    * (1 + 0.3 * number)
                    * (factor if build == "this" else 1.0)
                    * (1 + 0.01 * (number % 3))
                )
                made.write(
                    "measurement", item=f"throughput::{build}::mlp::threads-8", attempt=number, build=build, workload="mlp",
                    way="threads", count=8, requests=9, seconds=1.0, rate_per_s=rate, latency_p50_s=0.1, latency_p99_s=None,
                    checking_share=0.1,
                )  # fmt: skip
        made.end()
        return folder

    @pytest.mark.parametrize(
        ("factor", "answer"), [(1.2, "FASTER"), (0.9, "SLOWER"), (1.0, "cannot be told apart")]
    )
    def test_rounds_are_paired(self, tmp_path: Path, factor: float, answer: str) -> None:
        """The machine gets four times as fast over the rounds; only the pairing sees through that."""
        base = run_of(tmp_path / "base", {LINEAR: {"pass": 5}})
        result = compare(base, self.run(tmp_path / "new", factor), any_settings=False)
        (speed,) = result.speeds
        assert (speed.answer, speed.rounds) == (answer, 12)
        assert speed.ratio == pytest.approx(factor)
        assert f"throughput of mlp, threads, 8 at once (real): {factor:.3g} times" in text(result)
        is_slower = answer == "SLOWER"
        assert result.exit_status == int(is_slower)
        assert ("NEW is slower in 1 measurement of throughput" in text(result)) == is_slower
        assert ("No regression detected" in text(result)) != is_slower

    def test_what_base_was_measured_against_says_nothing_about_new(self, tmp_path: Path) -> None:
        new = run_of(tmp_path / "new", {LINEAR: {"pass": 5}})
        assert compare(self.run(tmp_path / "base", 0.8), new, any_settings=False).exit_status == 0

    def test_what_was_not_interleaved_is_not_compared(self, tmp_path: Path) -> None:
        sides = [self.run(tmp_path / name, 1.0, ("this",)) for name in ("base", "new")]
        (tmp_path / "new" / "speed").rename(tmp_path / "new" / "speed2")
        result = compare(*sides, any_settings=False)
        assert result.speeds == []
        assert "measured one build only, so nothing is compared" in text(result)

    def test_too_few_rounds_tell_nothing(self, tmp_path: Path) -> None:
        base = run_of(tmp_path / "base", {LINEAR: {"pass": 5}})
        (speed,) = compare(base, self.run(tmp_path / "new", 3.0, rounds=4), any_settings=False).speeds
        assert speed.answer == "cannot be told apart"
        assert "in only 4 rounds" in str(speed)


class TestCommand:
    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stress.commands.cli", "compare", *arguments],
            capture_output=True, text=True, timeout=800, check=False,
        )  # fmt: skip

    def test_prints_json(self, tmp_path: Path) -> None:
        run_of(tmp_path / "base", {LINEAR: {"pass": 20}})
        run_of(tmp_path / "new", {LINEAR: {"hang": 20}})
        done = self.run(str(tmp_path / "base"), str(tmp_path / "new"), "--json")
        assert done.returncode == 1
        data = json.loads(done.stdout)
        (row,) = data["sections"][0]["rows"]
        assert (row["answer"], row["scenario"], row["threads"]) == (
            "WORSE", "scenarios/linear.py::SharedLinear[float32]", 8,
        )  # fmt: skip

    def test_bad_input_is_one_sentence_and_status_2(self, tmp_path: Path) -> None:
        run_of(tmp_path / "base", {LINEAR: {"pass": 1}})
        done = self.run(str(tmp_path / "base"), str(tmp_path / "nothing"))
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "there is no such folder" in done.stderr


def test_hostile_texts_do_not_reach_the_terminal(tmp_path: Path) -> None:
    for name in ("base", "new"):
        made = Made(tmp_path / name, environment={**MAC, "chip": "\x1b[2Jchip"})
        for hostile in hostile_strings():
            made.attempts(f"a.py::S{hostile}[t8]", {"crash": 2}, headline=hostile)
        made.end()
    told = text(compare(tmp_path / "base", tmp_path / "new", any_settings=False))
    assert all(character.isprintable() or character == "\n" for character in told)
    assert "\\x1b" in told
    assert not read_folders([tmp_path / "base"]).problems
