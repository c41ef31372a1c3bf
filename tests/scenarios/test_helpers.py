"""What scenarios build on: exact work, pairs of threads, and the streams of a device that has none."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
import torch

from stress.scenario import exact
from stress.scenario import handover
from stress.scenario import streams
from tests.scenarios.files import load

CPU = torch.device("cpu")


class TestClaimsOfStreams:
    def test_a_stream_of_two_live_threads_is_counted(self) -> None:
        claims = load("streams")._Claims()
        claimed, may_end = threading.Event(), threading.Event()

        def work() -> None:
            claims.claim(5)
            claimed.set()
            may_end.wait()

        thread = threading.Thread(target=work)
        thread.start()
        claimed.wait()
        claims.claim(5)
        may_end.set()
        thread.join()
        assert claims.shared == 1

    def test_a_stream_of_a_thread_that_has_ended_is_free_although_a_joiner_makes_it_look_alive(self) -> None:
        claims = load("streams")._Claims()
        thread = threading.Thread(target=claims.claim, args=(5,))
        # What is_alive() says while another thread is about to return from join(): a twin failed by that.
        thread.is_alive = lambda: True  # type: ignore[method-assign]
        thread.start()
        thread.join()
        claims.claim(5)
        assert claims.shared == 0


class TestExactWork:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
    def test_a_climb_ends_at_its_value_in_every_precision(self, dtype: torch.dtype) -> None:
        top = exact.climb(3.0, exact.shift_matrix(16).to(dtype), rows=2, steps=5)
        assert top.dtype == dtype
        assert top.shape == (2, 16)
        assert int(exact.count_wrong(top, 8.0)) == 0

    def test_wrong_elements_are_counted(self) -> None:
        assert int(exact.count_wrong(torch.tensor([1.0, 2.0, float("nan"), 1.0]), 1.0)) == 2

    def test_a_count_that_holds_garbage_is_still_a_number_that_fits(self) -> None:
        garbage = torch.tensor(torch.iinfo(torch.int64).max)
        assert 0 < exact.total([garbage] * 9) < torch.iinfo(torch.int64).max


class TestPairs:
    def test_each_two_threads_have_a_maker_and_a_taker(self) -> None:
        one = handover.Pairs(4, capacity=1)
        assert [(one.makes(i), one.takes(i)) for i in range(4)] == [(True, False), (False, True)] * 2

    def test_a_thread_without_partner_hands_over_to_itself(self) -> None:
        one = handover.Pairs(3, capacity=1)
        assert one.makes(2)
        assert one.takes(2)
        one.put(2, "made")
        assert one.get(2) == "made"

    def test_a_partner_that_does_nothing_ends_the_waiting_for_good(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(handover, "WAIT_S_MAX", 0.01)
        one = handover.Pairs(2, capacity=1)
        with pytest.raises(RuntimeError, match=r"did nothing for 0\.01 s"):
            one.get(1)
        with pytest.raises(RuntimeError, match="has failed"):
            one.put(0, "too late")

    def test_a_full_mailbox_ends_the_waiting_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(handover, "WAIT_S_MAX", 0.01)
        one = handover.Pairs(2, capacity=1)
        one.put(0, "first")
        with pytest.raises(RuntimeError, match="did nothing"):
            one.put(0, "second")


class TestStreamsOfTheCpu:
    def test_a_thread_is_its_own_stream(self) -> None:
        told: list[int] = []
        thread = threading.Thread(target=lambda: told.append(streams.current_stream_id(CPU)))
        thread.start()
        thread.join()
        assert streams.current_stream_id(CPU) == 0
        assert told[0] != 0
        assert streams.streams_differ(CPU)

    def test_there_is_none_to_choose_and_nothing_to_wait_for(self) -> None:
        assert streams.new_stream(CPU) is None
        assert streams.current_stream(CPU) is None
        with streams.use_stream(None):
            streams.record_stream(torch.ones(1), None)
        streams.synchronize(CPU)

    def test_events_are_done_when_recorded_and_have_a_time_between_them(self) -> None:
        start, end = streams.new_event(CPU, timing=True), streams.new_event(CPU, timing=True)
        streams.record(start)
        streams.record(end)
        streams.wait(end)
        end.synchronize()
        assert end.query()
        assert start.elapsed_time(end) >= 0.0


class TestDriftOfLatency:
    """`scenarios/latency.py`: the seconds of each request, round by round, on the device and on the host."""

    @staticmethod
    def drifts(
        device: Callable[[int], float], host: Callable[[int], float] = lambda _: 1.0, *, spread: float = 2.0
    ) -> bool:
        draw = random.Random(5)
        rounds = [
            [[of(number) * draw.uniform(1, spread) for _ in range(48)] for number in range(21)]
            for of in (device, host)
        ]
        return bool(load("latency")._drifts(*rounds))

    def test_longer_and_longer_is_found(self) -> None:
        assert self.drifts(lambda number: 1 + number / 2)

    def test_what_slows_the_host_alike_is_none(self) -> None:
        assert not self.drifts(lambda number: 1 + number / 2, lambda number: 1 + number / 2)

    def test_a_step_is_none(self) -> None:
        assert not self.drifts(lambda number: 9 if number >= 10 else 1)

    def test_a_host_that_gets_faster_is_none(self) -> None:
        assert not self.drifts(lambda _: 1, lambda number: 1 / (1 + number))

    def test_less_than_twice_is_none(self) -> None:
        assert not self.drifts(lambda number: 1 + number / 20)

    def test_bursts_that_leave_the_quickest_alone_are_none(self) -> None:
        latency = load("latency")
        device = [[0.1, *(0.1 * (1 + number) for _ in range(47))] for number in range(21)]
        assert latency._growth(latency._percentiles(device, 50)) > 2
        assert not latency._drifts(device, [[0.1] * 48] * 21)

    @pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 24), (99, 48)])
    def test_percentiles_are_of_the_nearest_rank(self, percent: int, expected: int) -> None:
        assert load("latency")._percentiles([range(48, 0, -1)], percent) == [expected]
