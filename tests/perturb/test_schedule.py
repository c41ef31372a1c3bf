"""Decisions follow from the seed alone; the budget bounds what they may cost."""

from __future__ import annotations

import pytest

from stress.child.perturb import MODES
from stress.child.perturb import mode_for
from stress.child.perturb.schedule import LEVELS
from stress.child.perturb.schedule import YIELD_S
from stress.child.perturb.schedule import Decision
from stress.child.perturb.schedule import Decisions
from stress.child.perturb.schedule import Draws
from stress.child.perturb.schedule import Level
from stress.child.perturb.schedule import affordable_s
from tests.perturb import crew
from tests.perturb import subject

LEVEL = Level(
    share_max=0.2,
    allowance_s=0.001,
    victim_probability=1.0,
    delay_probability=0.5,
    delay_s_min=1e-4,
    delay_s_max=1e-2,
)
YIELD = Decision(1, True, YIELD_S)
DELAY = Decision(1, False, 0.005)


def take(mode: str, seed: int, thread: int, count: int = 200, level: Level = LEVEL) -> list[Decision]:
    decisions = Decisions(mode, level, seed, thread)
    return [decisions.next() for _ in range(count)]


class TestRotation:
    def test_the_most_useful_modes_come_first(self) -> None:
        assert [mode_for(attempt, "low") for attempt in range(4)] == ["op", "line", "none", "opcode"]

    def test_a_third_of_the_attempts_is_left_alone_and_every_mode_comes(self) -> None:
        modes = [mode_for(attempt, "high") for attempt in range(90)]
        assert modes.count("none") == 30
        assert set(modes) == set(MODES)

    def test_a_quick_item_has_the_dear_mode_once(self) -> None:
        assert [mode_for(attempt, "low") for attempt in range(5)].count("op") == 1

    def test_off_is_always_none(self) -> None:
        assert {mode_for(attempt, "off") for attempt in range(9)} == {"none"}

    def test_an_unknown_level_names_the_choices(self) -> None:
        with pytest.raises(ValueError, match="off, low, high"):
            mode_for(0, "max")


class TestDecisions:
    @pytest.mark.parametrize("mode", ["op", "line", "opcode"])
    def test_the_same_seed_and_thread_decide_the_same(self, mode: str) -> None:
        assert take(mode, 7, 3) == take(mode, 7, 3)

    def test_seeds_threads_and_modes_decide_differently(self) -> None:
        sequences = [take("line", seed, thread) for seed in (1, 2) for thread in (0, 1, 2)]
        sequences.append(take("opcode", 1, 0))
        assert len({tuple(sequence) for sequence in sequences}) == len(sequences)

    def test_neighbouring_seeds_share_no_stretch_of_numbers(self) -> None:
        def numbers(seed: int) -> set[float]:
            draws = Draws("x", seed)
            return {draws.next() for _ in range(1000)}

        # 32-bit numbers: of 1000 x 1000 pairs 0.0002 are equal by chance.
        assert not numbers(1) & numbers(2)

    def test_only_victims_get_delays(self) -> None:
        level = LEVELS["low"]
        for thread in range(64):
            decisions = Decisions("line", level, 1, thread)
            delays = sum(not decisions.next().is_yield for _ in range(200))
            assert bool(delays) == decisions.is_victim
        victims = sum(Decisions("line", level, 1, thread).is_victim for thread in range(400))
        assert 60 <= victims <= 140  # a quarter, within five standard deviations

    def test_delays_are_log_uniform_within_their_limits(self) -> None:
        lengths = [one.seconds for one in take("line", 5, 0, 2000) if not one.is_yield]
        assert min(lengths) >= LEVEL.delay_s_min
        assert max(lengths) <= LEVEL.delay_s_max
        shorter = sum(length < 1e-3 for length in lengths)  # 1e-3 is the geometric middle
        assert 0.4 < shorter / len(lengths) < 0.6

    def test_the_same_run_takes_the_same_choices_at_the_same_boundaries(self) -> None:
        def choices(seed: int) -> list[tuple[int, int]]:
            done = crew.attempt(subject.two_lines, "line", "low", seed)
            return sorted((p.points, p.yields + p.delays + p.dropped) for p in done.perturbations)

        assert choices(11) == choices(11)


class TestBudget:
    def test_yields_may_use_the_allowance_before_any_time_has_passed(self) -> None:
        assert affordable_s(LEVEL, YIELD, elapsed_s=0.0, delayed_s=0.0) == YIELD_S
        assert affordable_s(LEVEL, YIELD, elapsed_s=0.0, delayed_s=0.00099) == YIELD_S
        assert affordable_s(LEVEL, YIELD, elapsed_s=0.0, delayed_s=0.001) == 0.0

    def test_delays_have_to_be_earned(self) -> None:
        assert affordable_s(LEVEL, DELAY, elapsed_s=0.0, delayed_s=0.0) == YIELD_S
        assert affordable_s(LEVEL, DELAY, elapsed_s=0.01, delayed_s=0.0) == pytest.approx(0.002)
        assert affordable_s(LEVEL, DELAY, elapsed_s=1.0, delayed_s=0.0) == 0.005

    def test_nothing_is_left_when_the_share_is_used_up(self) -> None:
        assert affordable_s(LEVEL, DELAY, elapsed_s=1.0, delayed_s=0.3) == 0.0
        assert affordable_s(LEVEL, YIELD, elapsed_s=1.0, delayed_s=0.3) == 0.0

    def test_simulated_time_stays_below_the_share_for_any_seed(self) -> None:
        for seed in range(50):
            elapsed_s = delayed_s = 0.0
            decisions = Decisions("line", LEVEL, seed, 0)
            for _ in range(5000):
                decision = decisions.next()
                elapsed_s += decision.gap * 1e-6
                slept_s = affordable_s(LEVEL, decision, elapsed_s=elapsed_s, delayed_s=delayed_s)
                elapsed_s += slept_s
                delayed_s += slept_s
            assert delayed_s <= LEVEL.share_max * elapsed_s + LEVEL.allowance_s + YIELD_S

    @pytest.mark.parametrize("level", ["low", "high"])
    def test_real_threads_stay_below_it_too(self, level: str) -> None:
        limits = LEVELS[level]
        done = crew.attempt(subject.two_lines, "line", level, 1, 4000)
        assert len(done.perturbations) == crew.THREADS
        for one in done.perturbations:
            assert one.yields + one.delays > 0
            assert one.delayed_s <= limits.share_max * one.elapsed_s + limits.allowance_s + one.longest_s
