"""The barrier, the pool and the overlap, without pytest around them."""

from __future__ import annotations

import threading
import time
from collections import Counter

import pytest

from stress.child.perturb import Perturbation
from stress.child.perturb import TraceScope
from stress.plugin.ordinary.barrier import Barrier
from stress.plugin.ordinary.job import Job
from stress.plugin.ordinary.judge import Leftovers
from stress.plugin.ordinary.judge import judge
from stress.plugin.ordinary.pool import Hang
from stress.plugin.ordinary.pool import Pool

DEADLINE_S = 30
NOWHERE = TraceScope()


def judged(job: Job) -> str:
    judgement = judge(job, Leftovers(), nodeid="test_it")
    assert judgement.error is not None
    return judgement.headline


class TestBarrier:
    def test_nobody_is_ahead_by_more_than_one_round(self) -> None:
        threads, rounds = 8, 500
        barrier = Barrier(threads)
        at = [0] * threads
        ahead: list[int] = []

        def work(index: int) -> None:
            for number in range(rounds):
                assert barrier.wait(index)
                at[index] = number
                ahead.append(max(at) - min(at))

        crew = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join(DEADLINE_S)
        assert at == [rounds - 1] * threads
        assert max(ahead) <= 1

    def test_who_leaves_is_not_waited_for(self) -> None:
        barrier = Barrier(3)
        passed: list[int] = []

        def work(index: int) -> None:
            for number in range(10):
                if index == 2 and number == 4:
                    break
                barrier.wait(index)
            else:
                passed.append(index)
            barrier.leave()

        crew = [threading.Thread(target=work, args=(index,)) for index in range(3)]
        for thread in crew:
            thread.start()
        for thread in crew:
            thread.join(DEADLINE_S)
        assert sorted(passed) == [0, 1]

    def test_abort_sends_everybody_on_with_the_word_to_stop(self) -> None:
        barrier = Barrier(3)
        answers: list[bool] = []
        crew = [threading.Thread(target=lambda i=i: answers.append(barrier.wait(i))) for i in range(2)]
        for thread in crew:
            thread.start()
        barrier.abort()
        for thread in crew:
            thread.join(DEADLINE_S)
        assert answers == [False, False]
        assert not barrier.wait(2)


class TestPool:
    def test_threads_are_reused_and_grow_as_needed(self) -> None:
        pool = Pool()
        seen: Counter[int] = Counter()
        for threads in (2, 4, 3):
            pool.run(Job([lambda: seen.update([threading.get_ident()])] * threads, 5), DEADLINE_S)
        assert len(seen) == len(pool.threads) == 4
        pool.close()
        for thread in [one for one in threading.enumerate() if one.name.startswith("mps-stress-")]:
            if thread.ident in seen:
                thread.join(DEADLINE_S)
                assert not thread.is_alive()

    def test_after_a_hang_the_next_job_gets_new_threads_and_the_stuck_ones_end_when_they_can(self) -> None:
        pool, release = Pool(), threading.Event()
        job = Job([release.wait, lambda: None], 3)
        with pytest.raises(Hang, match="in the body: thread 0 in iteration 0"):
            pool.run(job, 0.2)
        assert pool.threads == []
        second = Job([lambda: None] * 2, 3)
        pool.run(second, DEADLINE_S)
        assert second.calls == 6
        release.set()
        assert job.done.acquire(timeout=DEADLINE_S)
        assert job.calls < 6
        pool.close()

    def test_a_job_leaves_no_reference_in_the_pool(self) -> None:
        import gc
        import weakref

        pool = Pool()
        job = Job([lambda: None] * 2, 2)
        gone = weakref.ref(job)
        pool.run(job, DEADLINE_S)
        del job
        deadline_s = time.monotonic() + DEADLINE_S
        while gone() is not None and time.monotonic() < deadline_s:
            gc.collect()
        assert gone() is None
        pool.close()


class TestThreadsThatEndEarly:
    def test_one_that_dies_outside_a_call_is_a_failure_and_nobody_waits_for_it(self) -> None:
        def perturb(index: int) -> Perturbation:
            if index == 3:
                raise MemoryError("no more")
            return Perturbation("none", "off", seed=1, thread_index=index, scope=NOWHERE)

        pool = Pool()
        job = Job([lambda: None] * 8, 2, perturb)
        pool.run(job, DEADLINE_S)
        assert job.calls == 14
        assert judged(job) == "thread 3 died after 0 of 2 calls: MemoryError: no more"
        pool.close()

    def test_no_call_at_all_is_a_failure(self) -> None:
        pool = Pool()
        job = Job([lambda: None] * 4, 0)
        pool.run(job, DEADLINE_S)
        assert judged(job) == "the test's body was never called"
        pool.close()


class TestOverlap:
    @pytest.mark.parametrize(
        ("spans", "share"),
        [
            ([[(0, 10)], [(20, 30)]], 0.0),
            ([[(0, 10)], [(10, 30)]], 0.0),
            ([[(0, 10)], [(5, 30)]], 1.0),
            ([[(0, 100)], [(5, 6)], [(50, 60)], [(200, 201)]], 0.75),
            ([[(0, 10), (20, 30)], [(25, 40), (50, 60)]], 0.5),
            ([[], []], 0.0),
        ],
    )
    def test_share_of_calls(self, spans: list[list[tuple[int, int]]], share: float) -> None:
        job = Job([lambda: None] * len(spans), 2)
        for lane, own in zip(job.lanes, spans, strict=True):
            lane.spans_ns = own
        assert job.overlap() == share
