"""What the simulated designs add to torch.mps: streams as torch 2.15 has them, the fork's slots and BatchQueue."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from stress.device.sim.build import default_builder
from tests.acceptance import Ran
from tests.acceptance import run_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")

STREAMS = """
import concurrent.futures

def work(x):
    for _ in range(200):
        x = x * 1.0 + 1.0
    return x

class Selects(ProcessScenario):
    def body(self, device):
        assert torch.mps.current_stream() == torch.mps.default_stream()
        one, other = torch.mps.Stream(), torch.mps.Stream()
        assert one.stream_id != other.stream_id and 0 not in (one.stream_id, other.stream_id)
        assert isinstance(one, torch.Stream) and one.device.type == device.type
        with torch.mps.stream(one) as selected:
            assert selected is one and torch.mps.current_stream() == one
            with torch.mps.stream(other), torch.mps.stream(None):
                assert torch.mps.current_stream() == other
            assert torch.mps.current_stream() == one
        assert torch.mps.current_stream().stream_id == 0
        torch.mps.set_stream(other)
        torch.mps.set_stream(None)
        assert torch.mps.current_stream() == other
        with concurrent.futures.ThreadPoolExecutor(1) as pool:  # a thread of its own has a stream of its own choice
            assert pool.submit(lambda: torch.mps.current_stream().stream_id).result() == 0

class Orders(ProcessScenario):
    def body(self, device):
        x = torch.zeros(64, 64, device=device)
        torch.mps.synchronize()
        producer, consumer = torch.mps.Stream(), torch.mps.Stream()
        for link in (lambda: consumer.wait_stream(producer), lambda: consumer.wait_event(producer.record_event())):
            with torch.mps.stream(producer):
                y = work(x)
            link()
            with torch.mps.stream(consumer):
                z = y + 1
            y.record_stream(consumer)
            consumer.synchronize()
            assert consumer.query()
            assert z.cpu().unique().tolist() == [201.0]

class RecordsOnesOwn(ProcessScenario):
    def body(self, device):
        stream, event = torch.mps.Stream(), torch.mps.Event(enable_timing=True)
        with torch.mps.stream(stream):
            work(torch.zeros(8, device=device))
        assert stream.record_event(event) is event
        event.synchronize()
        assert event.query()
        assert type(stream.record_event()) is torch.mps.Event

class LacksTheForks(ProcessScenario):
    def body(self, device):
        assert not hasattr(torch.mps, "BatchQueue")
        assert not hasattr(torch.mps, "release_current_thread_slot")
"""

QUEUES = """
import concurrent.futures

def doubled(x):
    return x * 2

class Answers(ProcessScenario):
    params = {"workers": [1, 4]}
    def body(self, device):
        queue = torch.mps.BatchQueue(batch_size=self.workers, num_workers=self.workers)
        queue.start()
        before = threading.active_count()
        inputs = [torch.full((64,), float(i), device=device) for i in range(40)]
        futures = [queue.submit(x, doubled) for x in inputs]
        queue.stop()
        assert threading.active_count() == before - self.workers
        assert all(future.done() for future in futures)  # stop drains
        assert [future.result().cpu()[0].item() for future in futures] == [2.0 * i for i in range(40)]

class Fails(ProcessScenario):
    def body(self, device):
        queue = torch.mps.BatchQueue()
        queue.start()
        x = torch.ones(4, device=device)
        def fails(x):
            raise ValueError("mine alone")
        def dies_later(x):  # on the device, after the call has returned
            return torch.zeros(4, device=device).index_select(0, torch.tensor([7], device=device))
        good, bad, late, after = (queue.submit(x, one) for one in (doubled, fails, dies_later, doubled))
        queue.stop()
        assert good.result().cpu().tolist() == after.result().cpu().tolist() == [2.0] * 4
        assert "mine alone" in str(bad.exception())
        assert late.exception() is not None

class RunsOnlyBetween(ProcessScenario):
    def body(self, device):
        queue = torch.mps.BatchQueue()
        x = torch.ones(4, device=device)
        for _ in range(2):
            try:
                queue.submit(x, doubled)
            except RuntimeError as error:
                assert "BatchQueue" in str(error)
            else:
                raise AssertionError("it took a request while it did not run")
            queue.start()
            assert queue.submit(x, doubled).result().cpu()[0].item() == 2.0
            queue.stop()
            queue.stop()

class WaitsForTheInput(ProcessScenario):
    def body(self, device):
        queue = torch.mps.BatchQueue(num_workers=2)
        queue.start()
        for _ in range(20):
            x = torch.zeros(64, 64, device=device)
            for _ in range(100):
                x = x + 1
            assert queue.submit(x, doubled).result().cpu().unique().tolist() == [200.0]
        queue.stop()

class LacksStreams(ProcessScenario):
    def body(self, device):
        assert not hasattr(torch.mps, "Stream") and not hasattr(torch.mps, "stream")
        torch.mps.release_current_thread_slot()
"""

SWAPPED = """
def doubled(x):
    return x * 2

class Swapped(ProcessScenario):
    def body(self, device):
        queue = torch.mps.BatchQueue(batch_size=2)
        queue.start()
        taken, gate = threading.Event(), threading.Event()
        def waits(x):
            taken.set()
            gate.wait()
            return doubled(x)
        x, one, two = (torch.full((4,), float(i), device=device) for i in range(3))
        first = queue.submit(x, waits)
        taken.wait()  # alone: the other two make one batch
        futures = [queue.submit(y, doubled) for y in (one, two)]
        gate.set()
        values = [future.result().cpu()[0].item() for future in (first, *futures)]
        queue.stop()
        assert sorted(values) == [0.0, 2.0, 4.0]
        assert values == [0.0, 2.0, 4.0], f"swapped: {values}"
"""


@pytest.fixture(scope="module", autouse=True)
def build(build_cache: Path) -> None:
    default_builder().ensure(print)


def run(folder: Path, source: str, design: str, *args: str) -> Ran:
    given = ["--mps-attempts=1", "--mps-device=sim", f"--mps-sim-design={design}", *args]
    return run_in(folder, source, *given)


class TestStreamsOfTheUpstreamDesign:
    @pytest.fixture(scope="class")
    @classmethod
    def ran(cls, tmp_path_factory: pytest.TempPathFactory) -> Ran:
        return run(tmp_path_factory.mktemp("upstream"), STREAMS, "upstream")

    @pytest.mark.parametrize("name", ["Selects", "Orders", "RecordsOnesOwn", "LacksTheForks"])
    def test_behave_as_documented(self, ran: Ran, name: str) -> None:
        assert ran.items[f"{name}[t4]"]["verdict"] == "pass", ran.items[f"{name}[t4]"]["headline"]


class TestTheForksDesign:
    @pytest.fixture(scope="class")
    @classmethod
    def ran(cls, tmp_path_factory: pytest.TempPathFactory) -> Ran:
        return run(tmp_path_factory.mktemp("fork"), QUEUES, "fork")

    @pytest.mark.parametrize("name", ["Fails", "RunsOnlyBetween", "WaitsForTheInput", "LacksStreams"])
    def test_behaves_as_the_fork_does(self, ran: Ran, name: str) -> None:
        assert ran.items[f"{name}[t4]"]["verdict"] == "pass", ran.items[f"{name}[t4]"]["headline"]

    @pytest.mark.parametrize("workers", [1, 4])
    def test_answers_each_request(self, ran: Ran, workers: int) -> None:
        assert ran.items[f"Answers[{workers}-t4]"]["verdict"] == "pass"

    def test_may_have_the_fault_that_swaps_two_futures(self, tmp_path: Path) -> None:
        faulty = run(tmp_path, SWAPPED, "fork", "--mps-sim-faults=batch_queue_wrong_future:1")
        assert faulty.items["Swapped[t4]"]["verdict"] == "mismatch"
        assert "swapped" in faulty.items["Swapped[t4]"]["headline"]
        twin = run(tmp_path, SWAPPED, "fork", "--mps-sim-faults=batch_queue_wrong_future/twin:1")
        assert twin.items["Swapped[t4]"]["verdict"] == "pass"


class TestWhatTorchHas:
    def test_is_never_overwritten(self) -> None:
        from stress.device.sim.torch_mps import provide

        own = object()
        module = types.SimpleNamespace(stream=own)
        provide(module, "upstream")
        assert module.stream is own
        assert set(vars(module)) == {
            "Stream", "StreamContext", "stream", "current_stream", "default_stream", "set_stream", "_gpu_trace", "compile_shader",
        }  # fmt: skip


LEVEL = """
class MeasuresInSetup(Scenario):
    iterations = 1
    exempt = {"no device work": "only memory is measured"}

    def setup(self, device):
        return {"device": device, "level": torch.mps.current_allocated_memory() if device.type == "mps" else 0}

    def step(self, state, x):
        return 1

    def finish(self, state):
        return torch.mps.current_allocated_memory() - state["level"] if state["device"].type == "mps" else 0
"""


def test_no_memory_of_the_frameworks_own_counts_as_the_scenarios(tmp_path: Path) -> None:
    """The weights of digests were made after setup: 512 bytes left behind on CUDA, 64 here."""
    ran = run(tmp_path, LEVEL, "fork", "--mps-threads=2", "--mps-attempts=4")
    assert {one["readback"] for one in ran.records if one["kind"] == "attempt_start"} >= {"digest", "end"}
    assert ran.items["MeasuresInSetup[t2]"]["verdict"] == "pass", ran.items["MeasuresInSetup[t2]"]["headline"]
