"""Failures that come together are called clustered, and independent ones hardly ever."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from stress.commands.campaign.tally import Arm
from stress.commands.campaign.tally import CampaignTally
from stress.model.clusters import ALPHA
from stress.model.clusters import ClusterCounts
from stress.record.aggregate import read_folders
from stress.record.aggregate.words import not_shown
from tests.made_records import Made


def _outcomes(failed: Iterable[int], ages: Iterable[int] = itertools.repeat(0)) -> ClusterCounts:
    found = ClusterCounts()
    for one, age in zip(failed, ages, strict=False):
        found.add(failed=bool(one), age=age)
    return found


class TestOverTime:
    def test_a_burst_is_clustered(self) -> None:
        assert _outcomes([0] * 60 + [1] * 6 + [0] * 34).sentence() == (
            "clustered: 6 failures of 100 attempts came in one block (p 8e-08): the interval is too narrow"
        )

    @pytest.mark.parametrize("failed", [[], [0] * 50, [1] * 50, [1, 0] * 50, [0, 0, 0, 1] * 9, [0] * 9 + [1]])
    def test_others_are_not(self, failed: list[int]) -> None:
        assert _outcomes(failed).sentence() == ""

    def test_the_probability_is_the_share_of_all_orders(self) -> None:
        for order in [(1, 1, 0, 0, 1, 0, 0, 0), (1, 1, 1, 0, 0, 0, 0, 0), (1, 0, 1, 0, 1, 0, 0, 0)]:
            blocks = [_outcomes(one).blocks for one in set(itertools.permutations(order))]
            fewer = sum(one <= _outcomes(order).blocks for one in blocks)
            assert _outcomes(order).p_time == pytest.approx(fewer / len(blocks))

    @pytest.mark.parametrize("rate", [0.02, 0.2, 0.7])
    def test_independent_attempts_are_called_so_at_its_level_at_most(self, rate: float) -> None:
        draw = random.Random(18)
        called = sum(_outcomes(draw.random() < rate for _ in range(200)).p_time < ALPHA for _ in range(2_000))
        assert called <= 2_000 * ALPHA + 4 * (2_000 * ALPHA) ** 0.5

    def test_attempts_that_follow_the_last_one_are_found(self) -> None:
        """Each attempt fails as the last one did with 90 %: the rate is 50 %, and its interval means nothing."""
        draw = random.Random(18)
        found = 0
        for _ in range(200):
            state = [draw.random() < 0.5]
            for _ in range(99):
                state.append(state[-1] if draw.random() < 0.8 else draw.random() < 0.5)
            found += bool(_outcomes(state).sentence())
        assert found > 190


class TestOverProcesses:
    def test_failures_of_first_attempts_alone_are_clustered(self) -> None:
        # Every fifth attempt is a process's first one, and each second of those fails.
        ages = [number % 5 for number in range(100)]
        told = _outcomes([age == 0 and number % 10 == 0 for number, age in enumerate(ages)], ages).sentence()
        assert (
            told
            == "clustered: 10 of 20 first attempts of a process failed, and 0 of 80 later ones (p 2e-08): the interval is too narrow"
        )

    def test_failures_at_every_age_are_not(self) -> None:
        ages = [number % 5 for number in range(100)]
        assert _outcomes([number % 7 == 0 for number in range(100)], ages).sentence() == ""

    def test_a_process_that_ends_with_its_failure_is_no_cluster(self) -> None:
        """Ages depend on earlier failures; the test holds its level all the same."""
        draw = random.Random(18)
        called = 0
        for _ in range(2_000):
            found, age = ClusterCounts(), 0
            for _ in range(200):
                failed = draw.random() < 0.1
                found.add(failed=failed, age=age)
                age = 0 if failed or age == 9 else age + 1
            called += found.p_process < ALPHA
        assert called <= 2_000 * ALPHA + 4 * (2_000 * ALPHA) ** 0.5


class TestWhereItIsSaid:
    def test_the_page_and_the_evidence_say_it(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        for verdict in ["pass"] * 60 + ["crash"] * 6 + ["pass"] * 34:
            made.attempt("a.py::A[t8]", verdict)
        told = [one for one in not_shown(read_folders([tmp_path])) if "clustered" in one]
        assert len(told) == 1
        assert "the rate of a.py::A[t8] on " in told[0]
        assert "6 failures of 100 attempts came in one block" in told[0]

    def test_a_campaign_counts_as_it_goes(self) -> None:
        tally = CampaignTally([Arm("a.py::A[t8]")], (), ())
        for number, verdict in enumerate(["pass"] * 60 + ["crash"] * 6 + ["pass"] * 34):
            tally.see(
                {"kind": "attempt_end", "item": "a.py::A[t8]", "role": "crew", "attempt": number,
                 "serial": number + 1, "verdict": verdict, "seconds": 0.1, "headline": ""}
            )  # fmt: skip
        assert "came in one block" in tally.arms["a.py::A[t8]"].outcomes.sentence()
