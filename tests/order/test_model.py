"""The model against an independent oracle, and against torch's own sanitizer, on random programs."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest

from stress.order import retired as retired_module
from stress.order.history import RANGES_MAX
from stress.order.history import Launch
from stress.order.model import OrderModel
from stress.order.model import TrackedStorage
from stress.order.overlap import Extent
from stress.order.overlap import extent_of
from tests.order.oracle import Cover
from tests.order.oracle import Program

WHOLE = Extent(0, 64)


class Replay:
    """Runs a program of the oracle's on the model; keeps every pair it reports, as steps of the program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.model = OrderModel(program.level)
        self.storages = [TrackedStorage("dev", 1000 * index, 16, is_host=index == 2) for index in range(3)]
        self.races: list[tuple[int, int, int]] = []
        self._serial: dict[int, int] = {}
        self._keep: list[Launch] = []
        self.model._report = self._reported  # type: ignore[method-assign]

    def _reported(
        self,
        kind: str,
        use: Any,
        now: Launch,
        storage: TrackedStorage,
        extent: Extent,
        argument: str,
        is_write: bool,
    ) -> None:
        self.races.append((self.storages.index(storage), self._serial[id(use.launch)], self._serial[id(now)]))

    def run(self) -> list[tuple[int, int, int]]:
        for serial, step in enumerate(self.program.steps):
            self._step(serial, step.what, step.args, self.model.thread(step.thread))
        return self.races

    def _stream(self, number: int) -> int:
        return self.model.stream(number, f"device {self.program.device_of(number)}", f"stream {number}")

    def _step(self, serial: int, what: str, args: tuple[int, ...], thread: int) -> None:
        model, stream = self.model, self._stream(args[0])
        if what in ("kernel", "host"):
            launch = model.launch(thread, stream, "op") if what == "kernel" else model.host_work(thread, "op")
            self._serial[id(launch)] = serial
            self._keep.append(launch)
            reads, writes = self.program.covers_of(self.program.steps[serial])
            for is_write, covers in ((False, reads), (True, writes)):
                for one in covers:
                    model.access(launch, self.storages[one.storage], _extent(one), "x", is_write)
        elif what == "record":
            model.record(args[1], thread, stream)
        elif what == "wait":
            model.wait(args[1], thread, stream)
        elif what == "event_sync":
            model.synchronize_event(args[1], thread)
        elif what == "stream_sync":
            model.synchronize_stream(stream, thread)
        elif what == "device_sync":
            model.synchronize_device(f"device {self.program.device_of(args[0])}", thread)
        elif what == "forget":
            model.forget_event(args[1])
        elif what == "lock":
            model.acquire(("lock", args[2]), thread)
            model.release(("lock", args[2]), thread)


def _extent(cover: Cover) -> Extent:
    extent = extent_of(cover.offset, cover.sizes, cover.strides, 1)
    assert extent is not None
    return extent


def first_races(races: list[tuple[int, int, int]]) -> dict[int, int]:
    """Return storage -> the first step that races there. After it the last write no longer stands for all before."""
    found: dict[int, int] = {}
    for storage, _, later in races:
        found[storage] = min(later, found.get(storage, later))
    return found


@pytest.mark.parametrize("level", ["device", "strict"])
@pytest.mark.parametrize(("threads", "streams"), [(1, 4), (3, 3), (4, 1), (2, 6)])
def test_the_model_says_what_reachability_says(level: str, threads: int, streams: int) -> None:
    racy = 0
    for seed in range(400):
        program = Program(seed, threads=threads, streams=streams, length=4 + seed % 21, level=level)
        wanted, got = list(program.races()), Replay(program).run()
        assert first_races(got) == first_races(wanted), f"seed {seed}: {program.steps}"
        assert set(got) <= set(wanted), f"seed {seed}: a pair that is ordered was reported"
        racy += bool(wanted)
    # Both answers have to be common, or nothing was compared.
    assert (20 < racy < 400) or (threads, streams, level) == (4, 1, "device")


@pytest.mark.parametrize(
    ("seed", "threads", "streams", "missed"),
    [(1_078_286, 4, 1, (2, 6, 16)), (1_079_014, 4, 1, (2, 0, 9)), (1_093_109, 3, 3, (2, 3, 20))],
)
def test_a_synchronisation_by_chance_hides_no_race_from_strict(
    seed: int, threads: int, streams: int, missed: tuple[int, int, int]
) -> None:
    """A third access comes between the two, ordered with both by when launches happened to be: that is no order.

    Three of 100,000 random programs, in which the checker had missed a storage's first race.
    """
    program = Program(seed, threads=threads, streams=streams, length=4 + seed % 21, level="strict")
    wanted, got = list(program.races()), Replay(program).run()
    assert missed in wanted
    assert first_races(got) == first_races(wanted)
    assert set(got) <= set(wanted)


def csan_and_ours(seed: int, length: int) -> tuple[dict[int, int], dict[int, int]]:
    """Run one random one-thread program on torch's event handler and on the model; first error of each tensor."""
    from torch.cuda import _sanitizer

    rng = random.Random(seed)
    csan, model = _sanitizer.EventHandler(), OrderModel()
    thread = model.thread(0)
    csan_first: dict[int, int] = {}
    ours_first: dict[int, int] = {}
    storages = {pointer: TrackedStorage("cuda:0", pointer, 64) for pointer in (1000, 2000, 3000, 4000)}

    def stream(number: int) -> int:
        return model.stream(number, "cuda:0", f"stream {number}")

    for serial in range(length):
        what = rng.choices(
            ("kernel", "record", "wait", "event", "stream", "device", "delete"), (10, 4, 4, 1, 1, 0.5, 0.5)
        )[0]
        number, event = rng.randrange(4), rng.randrange(3)
        if what == "kernel":
            touched = rng.sample(sorted(storages), 2)
            reads, writes = ({touched[0]}, {touched[1]}) if rng.random() < 0.6 else (set(touched), set())
            errors = csan._handle_kernel_launch(
                number, reads, writes, set(), "op", {one: [] for one in touched}
            )
            for error in errors:
                csan_first.setdefault(error.data_ptr, serial)  # type: ignore[attr-defined]
            launch = model.launch(thread, stream(number), "op")
            for is_write, pointers in ((False, reads), (True, writes)):
                for pointer in pointers:
                    before = sum(model.counts.values())
                    model.access(launch, storages[pointer], WHOLE, "", is_write)
                    if sum(model.counts.values()) > before:
                        ours_first.setdefault(pointer, serial)
        elif what == "record":
            csan._handle_event_record(event, number)
            model.record(event, thread, stream(number))
        elif what == "wait":
            csan._handle_event_wait(event, number)
            model.wait(event, thread, stream(number))
        elif what == "event":
            csan._handle_event_synchronization(event)
            model.synchronize_event(event, thread)
        elif what == "stream":
            csan._handle_stream_synchronization(number)
            model.synchronize_stream(stream(number), thread)
        elif what == "device":
            csan._handle_device_synchronization()
            model.synchronize_device("cuda:0", thread)
        else:
            csan._handle_event_deletion(event)
            model.forget_event(event)
    return csan_first, ours_first


class NoStacks(list[object]):
    """CSAN's cost is its stack of every launch, which nobody reads here."""

    @classmethod
    def extract(cls, *_: object, **__: object) -> NoStacks:
        return cls()


def test_one_thread_gets_the_answer_of_torchs_own_sanitizer(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.cuda import _sanitizer

    fast = SimpleNamespace(StackSummary=NoStacks, walk_stack=lambda _: ())
    monkeypatch.setattr(_sanitizer, "traceback", fast)
    racy = 0
    for seed in range(4000):
        csan, ours = csan_and_ours(seed, 4 + seed % 14)
        assert csan == ours, f"seed {seed}"
        racy += bool(csan)
    assert 400 < racy < 3900


def test_reads_without_a_write_take_no_memory() -> None:
    model = OrderModel()
    storage = TrackedStorage("dev", 0, 64)
    thread, streams = model.thread(0), [model.stream(n, "dev", f"stream {n}") for n in range(3)]
    for number in range(3000):
        model.access(model.launch(thread, streams[number % 3], "mm"), storage, WHOLE, "a", False)
    [only] = storage.history.ranges
    assert len(only.reads) == 3
    assert model.accesses == 3000


def test_many_ranges_of_one_storage_are_bounded_and_counted() -> None:
    model = OrderModel()
    storage = TrackedStorage("dev", 0, 10_000)
    launch = model.launch(model.thread(0), model.stream(0, "dev", "stream 0"), "copy_")
    for number in range(RANGES_MAX + 5):
        model.access(launch, storage, Extent(number * 8, number * 8 + 8), "self", True)
    assert len(storage.history.ranges) == RANGES_MAX
    assert model.forgotten == 5
    model.access(launch, storage, Extent(0, 10_000), "self", True)
    assert len(storage.history.ranges) == 1, "a write of everything stands for all before"


def two_streams(level: str = "device") -> tuple[OrderModel, int, int, int]:
    model = OrderModel(level)
    return model, model.thread(0), model.stream(1, "dev", "stream 1"), model.stream(2, "dev", "stream 2")


def test_freed_memory_is_checked_at_its_next_first_use_by_address() -> None:
    model, thread, one, two = two_streams()
    old = TrackedStorage("dev", 4096, 512, text="float32 [128]")
    model.access(model.launch(thread, one, "mm"), old, Extent(0, 512), "a", False)
    model.retire(old)
    split = TrackedStorage("dev", 4096 + 256, 256)  # the upper half of the block
    model.new_storage(split)
    model.access(model.launch(thread, two, "zero_"), split, Extent(0, 256), "self", True)
    [pair] = model.found()
    assert (pair.kind, pair.hazard) == ("reuse", "WAR")
    assert "in memory of float32 [128]" in pair.memory
    assert "record_stream(stream 1)" in pair.remedy
    lower = TrackedStorage("dev", 4096, 256)  # the rest of it is still watched
    model.new_storage(lower)
    model.access(model.launch(thread, two, "fill_"), lower, Extent(0, 256), "self", True)
    assert len(model.found()) == 2


def test_more_freed_blocks_than_are_kept_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retired_module, "BLOCKS_MAX", 10)
    model, thread, one, _ = two_streams()
    for number in range(15):
        storage = TrackedStorage("dev", 4096 * (number + 1), 512)
        model.access(model.launch(thread, one, "mm"), storage, Extent(0, 512), "a", False)
        model.retire(storage)
    assert model.blocks_forgotten == 5
    model.forget_retired("dev")
    assert model.blocks_forgotten == 5, "that they were forgotten is still so"


@pytest.mark.parametrize("by", ["record_stream", "same stream", "synchronize", "wait"])
def test_freed_memory_that_is_in_order_is_silent(by: str) -> None:
    model, thread, one, two = two_streams()
    old = TrackedStorage("dev", 4096, 512)
    model.access(model.launch(thread, one, "mm"), old, Extent(0, 512), "a", True)
    if by == "record_stream":
        old.recorded.add(one)
    elif by == "synchronize":
        model.synchronize_stream(one, thread)
    elif by == "wait":
        model.record("e", thread, one)
        model.wait("e", thread, two)
    model.retire(old)
    new = TrackedStorage("dev", 4000, 1024)
    model.new_storage(new)
    model.access(
        model.launch(thread, one if by == "same stream" else two, "zero_"), new, Extent(0, 1024), "self", True
    )
    assert model.found() == []


def test_a_finding_says_what_order_is_known_and_what_would_do() -> None:
    model, thread, one, two = two_streams()
    storage = TrackedStorage("mps", 0, 64, text="float32 [4, 4]")
    model.access(
        model.launch(thread, one, "aten::mm", step="thread 0, iteration 0"), storage, WHOLE, "mat2", False
    )
    model.record("e", thread, one)
    model.access(
        model.launch(thread, one, "aten::mm", step="thread 0, iteration 1"), storage, WHOLE, "mat2", False
    )
    model.wait("e", thread, two)
    late = model.launch(thread, two, "aten::add_.Tensor", step="thread 3, iteration 1")
    model.access(late, storage, WHOLE, "self", True)
    [pair] = model.found()
    assert pair.text.splitlines() == [
        "write after read, stream against stream: bytes 0-63 of float32 [4, 4]",
        "  write  aten::add_.Tensor(self)  stream 2, thread 3, iteration 1",
        "  read   aten::mm(mat2)           stream 1, thread 0, iteration 1",
        "  known order   stream 2 has seen stream 1 up to its operation 1 (event recorded); the read is operation 2",
        "  would do      record an event after aten::mm(mat2) and wait for it before aten::add_.Tensor(self)",
        "  hazard=WAR kind=stream-stream op=aten::add_.Tensor(self) prior=aten::mm(mat2) device=mps",
    ]
    assert type(pair).from_data(pair.to_data()) == pair


def test_equal_findings_are_counted_once_each() -> None:
    model, thread, one, two = two_streams()
    storage = TrackedStorage("dev", 0, 64)
    for _ in range(10):
        model.access(model.launch(thread, one, "add_"), storage, WHOLE, "self", True)
        model.access(model.launch(thread, two, "add_"), storage, WHOLE, "self", True)
    assert model.unordered == 1
    assert sum(model.counts.values()) == 19


def test_an_unknown_level_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="choose one of device, strict"):
        OrderModel("loose")


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ((0, (4,), (2,)), (1, (4,), (2,)), False),  # even and odd columns
        ((0, (4,), (2,)), (2, (4,), (2,)), True),
        ((0, (4, 4), (8, 1)), (4, (4, 4), (8, 1)), False),  # left and right half of a matrix
        ((0, (4, 4), (8, 1)), (3, (4, 2), (8, 1)), True),
        ((0, (8, 4), (1, 8)), (5, (1,), (1,)), True),  # a transposed tensor has no gaps
        ((0, (4, 3), (2, 0)), (1, (2,), (1,)), True),  # an expanded one
    ],
)
def test_views_overlap_exactly(one: Any, other: Any, shared: bool) -> None:
    from stress.order.overlap import overlap

    first, second = (extent_of(offset, sizes, strides, 4) for offset, sizes, strides in (one, other))
    assert first is not None
    assert second is not None
    assert overlap(first, second) is shared
    assert overlap(second, first) is shared
    assert extent_of(3, (2, 0), (1, 1), 4) is None
