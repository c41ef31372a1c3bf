"""The model: agents with vector clocks, storages with histories, and the pairs that nothing orders.

Two levels. On `device`, all host threads are one agent: a thread that holds a tensor is taken to have got it in order,
whatever lock, queue or list it came by, and a synchronisation by one thread counts for all. So no finding is a false alarm
for want of a lock that was not seen; a race is missed where another thread happened to synchronise in between. On
`strict`, each thread is an agent, and only edges that were seen order two of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from stress.order.clocks import Edge
from stress.order.clocks import EventClock
from stress.order.clocks import Site
from stress.order.clocks import VectorClock
from stress.order.history import AccessedRange
from stress.order.history import AccessHistory
from stress.order.history import Launch
from stress.order.history import Metadata
from stress.order.history import Place
from stress.order.history import Use
from stress.order.history import place_text
from stress.order.overlap import Extent
from stress.order.pair import PairSide
from stress.order.pair import UnorderedPair
from stress.order.pair import known_order
from stress.order.pair import line_of
from stress.order.pair import remedy
from stress.order.retired import Name
from stress.order.retired import RetiredMemory

LEVELS = ("device", "strict")
GENERATORS_MAX = 1000
"""Generators kept; beyond, all are forgotten: a program has few, or makes one for each call."""
_OF_THREADS = ("order-only", "metadata")
"""Kinds in which the threads that launched are not ordered, whatever the streams are."""
PAIRS_MAX = 200
"""Findings kept with their text; further ones are counted."""


class NamedPart(Protocol):
    """A part of a tensor's metadata, as a report calls it, and the tensor's device."""

    @property
    def device(self) -> str: ...


class TrackedStorage:
    """One storage: its history, where it lies, and how to call it."""

    __slots__ = ("address", "bytes", "device", "history", "inherited", "is_host", "recorded", "site", "text")

    def __init__(
        self,
        device: str,
        address: int,
        bytes_: int,
        *,
        is_host: bool = False,
        text: object = "",
        site: Site | None = None,
    ) -> None:
        self.device, self.address, self.bytes, self.is_host = device, address, bytes_, is_host
        self.text, self.site = text, site
        self.history = AccessHistory()
        self.recorded: set[int] = set()
        """Streams that `record_stream` named: the allocator waits for them."""
        self.inherited: Name | None = None
        """Whose memory it was before, if that left unordered accesses behind."""


@dataclass
class _Agent:
    name: str
    clock: VectorClock
    device: str = ""
    is_stream: bool = False


class OrderModel:
    """All that is known of the order of a run. Not locked: its user calls from one thread at a time."""

    def __init__(self, level: str = "device") -> None:
        if level not in LEVELS:
            raise ValueError(f"level {level!r}: choose one of {', '.join(LEVELS)}")
        self.level = level
        self.is_strict = level == "strict"
        self.pairs: dict[tuple[str, str, str], UnorderedPair] = {}
        self.counts: dict[tuple[str, str, str], int] = {}
        self.accesses = 0
        self.forgotten = 0
        """Ranges that were dropped because a storage has too many: races with them are missed."""
        self._agents: list[_Agent] = []
        self._threads: dict[Hashable, int] = {}
        self._streams: dict[Hashable, int] = {}
        self._events: dict[Hashable, EventClock] = {}
        self._tokens: dict[Hashable, EventClock] = {}
        self._retired: dict[str, RetiredMemory] = {}
        self._drawn: dict[Hashable, Launch] = {}
        """Generator -> who drew from it last."""
        if not self.is_strict:
            self._host = self._new_agent("the host")

    # ---- agents

    def _new_agent(self, name: str, device: str = "", is_stream: bool = False) -> int:
        self._agents.append(_Agent(name, VectorClock(), device, is_stream))
        number = len(self._agents) - 1
        if not is_stream:
            self._agents[number].clock.seen[number] = 1
        return number

    def thread(self, key: Hashable, name: str = "") -> int:
        """Return the agent of a host thread."""
        if not self.is_strict:
            return self._host
        number = self._threads.get(key)
        if number is None:
            number = self._threads[key] = self._new_agent(name or f"thread {len(self._threads)}")
        return number

    def name_thread(self, thread: int, name: str) -> None:
        if self.is_strict:
            self._agents[thread].name = name

    def end_thread(self, thread: int) -> None:
        """Drop what a thread knew that has ended: its last release has it, and a program may start very many threads."""
        if self.is_strict:
            clock = self._agents[thread].clock
            clock.seen, clock.why = {thread: clock.seen[thread]}, {}

    def stream(self, key: Hashable, device: str, name: str) -> int:
        """Return the agent of a stream. `device` is the name that a device synchronisation gives."""
        number = self._streams.get(key)
        if number is None:
            number = self._streams[key] = self._new_agent(name, device, is_stream=True)
        return number

    # ---- work

    def launch(self, thread: int, stream: int, op: str, site: Site | None = None, step: Place = "") -> Launch:
        """Begin work of `thread` on `stream`; its accesses follow."""
        clock, own = self._agents[stream].clock, self._agents[thread].clock
        clock.learn_from(thread, own)
        epoch = clock.seen[stream] = clock.seen.get(stream, 0) + 1
        thread_epoch = own.seen[thread]
        if self.is_strict:
            self._tick(thread)
        # Not Launch(...), which is a function in Python: this takes a third of its time, here and below.
        return tuple.__new__(Launch, (stream, epoch, op, thread, thread_epoch, False, site, step))

    def _tick(self, thread: int) -> None:
        """Begin a new epoch of a thread: what it does from now on is not in what it has just given away."""
        clock = self._agents[thread].clock
        clock.seen[thread] += 1
        clock.version += 1

    def host_work(self, thread: int, op: str, site: Site | None = None, step: Place = "") -> Launch:
        """Begin work that `thread` does itself."""
        epoch = self._agents[thread].clock.seen[thread]
        return tuple.__new__(Launch, (thread, epoch, op, thread, epoch, True, site, step))

    def access(
        self, launch: Launch, storage: TrackedStorage, extent: Extent, argument: str, is_write: bool
    ) -> None:
        """Check an access against those before, and remember it."""
        self.accesses += 1
        history = storage.history
        for use in history.conflicts(extent, is_write) if history.ranges else ():
            if use.launch.thread == launch.thread and use.launch.agent == launch.agent:
                continue  # as mostly: a thread's own stream, or its own work
            kind = self._unordered(use, launch)
            if kind is not None:
                self._report(kind, use, launch, storage, extent, argument, is_write)
        if launch.is_host and not self.is_strict:
            if is_write:  # all that came before is reported or seen by the host, and so by every later launch
                history.ranges = [one for one in history.ranges if not extent.covers(one.extent)]
            return
        reader = (launch.agent, launch.thread if self.is_strict else 0)
        use = tuple.__new__(Use, (launch, argument, is_write, False))
        self.forgotten += history.add(extent, use, reader)

    def _unordered(self, use: Use, now: Launch) -> str | None:
        """Return the kind of finding that two conflicting accesses are; None where the earlier one comes first.

        On `strict`, two launches have to be ordered as the streams' work is and as the threads' calls are: each of the two
        is transitive, so the last write stands for all before. It does not where the threads count on one stream alone:
        an order that another stream's event made by chance then hides an earlier access (3 of 50,000 random programs).
        """
        then = use.launch
        if then.is_host and not self.is_strict:
            return None
        if then.agent == now.agent or self._agents[now.agent].clock.has_seen(then.agent, then.epoch):
            if not self.is_strict or then.thread == now.thread or use.is_retired:
                return None
            called_in_order = self._agents[now.thread].clock.has_seen(then.thread, then.thread_epoch)
            return None if called_in_order else "order-only"
        if use.is_retired:
            return "reuse"
        if then.is_host and now.is_host:
            return "host-host"
        return "stream-host" if then.is_host or now.is_host else "stream-stream"

    def use_metadata(
        self, launch: Launch, known: Metadata, what: NamedPart, argument: str, is_write: bool
    ) -> None:
        """Check a thread's use of what a tensor is beside its bytes, which only threads order: it is the host's."""
        earlier = [] if known.write is None else [(known.write, True)]
        if is_write:
            earlier += [(one, False) for one in known.reads.values()]
        clock = self._agents[launch.thread].clock
        for then, was_write in earlier:
            if then.thread != launch.thread and not clock.has_seen(then.thread, then.thread_epoch):
                use = Use(then, "", was_write)
                self._report_pair("metadata", use, launch, what.device, str(what), argument, is_write)
        if is_write:
            known.write, known.reads = launch, {}
        else:
            known.reads[launch.thread] = launch

    def draw(self, launch: Launch, generator: Hashable, text: str) -> None:
        """Check a draw from a generator against the last one: in which order two threads draw decides their values."""
        self.accesses += 1
        then = self._drawn.get(generator)
        if generator not in self._drawn and len(self._drawn) >= GENERATORS_MAX:
            self._drawn.clear()
        self._drawn[generator] = launch
        if then is None or then.thread == launch.thread:
            return
        if not self._agents[launch.thread].clock.has_seen(then.thread, then.thread_epoch):
            device = text.rpartition(" ")[2]
            self._report_pair(
                "generator", Use(then, "", True), launch, device, f"the state of {text}", "", True
            )

    # ---- edges

    def record(self, event: Hashable, thread: int, stream: int, site: Site | None = None) -> None:
        """Record an event: it stands for what its stream and the thread know now."""
        clocks = self._agents[stream].clock, self._agents[thread].clock
        self._events[event] = EventClock.of(*clocks, own=stream, edge=Edge("event recorded", site))
        if self.is_strict:
            self._tick(thread)

    def wait(self, event: Hashable, thread: int, stream: int) -> None:
        """Let a stream wait for an event; one that was never recorded orders nothing."""
        clock, known = self._agents[stream].clock, self._events.get(event)
        clock.learn_from(thread, self._agents[thread].clock)
        if known is not None:
            clock.learn(known.seen, known.why)
        if self.is_strict:
            self._tick(thread)

    def synchronize_event(self, event: Hashable, thread: int) -> None:
        """A thread has waited for an event, or was told that it is done."""
        known = self._events.get(event)
        if known is not None:
            self._agents[thread].clock.learn(known.seen, known.why)

    def forget_event(self, event: Hashable) -> None:
        """An event was made or deleted: its name stands for nothing recorded."""
        self._events.pop(event, None)

    def synchronize_stream(self, stream: int, thread: int, site: Site | None = None) -> None:
        """A thread has waited for a stream."""
        known = self._agents[stream].clock
        self._agents[thread].clock.learn(known.seen, known.why, stream, Edge("synchronized", site))

    def synchronize_device(self, device: str, thread: int, site: Site | None = None) -> None:
        """A thread has waited for all streams of a device."""
        for number, one in enumerate(self._agents):
            if one.is_stream and one.device == device:
                self.synchronize_stream(number, thread, site)

    def release(self, token: Hashable, thread: int, site: Site | None = None) -> None:
        """Let whoever acquires `token` later come after what `thread` has done: a lock, a started or ended thread."""
        if not self.is_strict:
            return
        clock = self._agents[thread].clock
        new = EventClock.of(clock, own=thread, edge=Edge("released", site))
        old = self._tokens.get(token)
        if old is not None:
            joined = VectorClock()
            joined.learn(old.seen, old.why)
            joined.learn(new.seen, new.why)
            new = EventClock(joined.seen, joined.why)
        self._tokens[token] = new
        self._tick(thread)

    def acquire(self, token: Hashable, thread: int) -> None:
        known = self._tokens.get(token)
        if known is not None:
            self._agents[thread].clock.learn(known.seen, known.why)

    def forget_token(self, token: Hashable) -> None:
        """What a token stood for is gone: nobody will acquire it."""
        self._tokens.pop(token, None)

    # ---- memory

    def new_storage(self, storage: TrackedStorage) -> None:
        """Give a storage the accesses that the memory's owners before have left."""
        retired = self._retired.get(storage.device)
        if retired is None or not len(retired) or storage.is_host:
            return
        ranges, name = retired.take(storage.address, storage.bytes)
        if ranges:
            storage.history.ranges, storage.inherited = ranges, name

    def retire(self, storage: TrackedStorage, freed_by: int = -1) -> None:
        """A storage is gone: its memory may be given out again. `freed_by` is the thread's agent, where that is known."""
        if storage.is_host or not storage.bytes or not storage.history.ranges:
            return
        by = freed_by if self.is_strict else self._host
        left = [
            kept
            for one in storage.history.ranges
            if (kept := self._left(one, storage.recorded, by)) is not None
        ]
        if left:
            blocks = self._retired.setdefault(storage.device, RetiredMemory())
            blocks.put(storage.address, storage.bytes, left, (storage.text, storage.site))

    def _left(self, one: AccessedRange, recorded: set[int], freed_by: int) -> AccessedRange | None:
        """Return the uses that the allocator does not wait for, and that were not known to be done when it was freed.

        Whoever is given the memory comes after the call that freed it, since the allocator has a lock, and after each thread
        that has let go of it, since references are counted one after another. When those let go is not seen: what a thread
        launched counts as known to be done where the thread knows it by then.
        """

        def is_left(use: Use) -> bool:
            then = use.launch
            if then.is_host or then.agent in recorded:
                return False
            holders = (freed_by, then.thread) if freed_by >= 0 else (then.thread,)
            return not any(self._agents[one].clock.has_seen(then.agent, then.epoch) for one in holders)

        kept = AccessedRange(one.extent)
        if one.write is not None and is_left(one.write):
            kept.write = one.write._replace(is_retired=True)
        # A read by the new owner conflicts with no read, but every new owner writes first: its reads are garbage else.
        kept.reads = {key: use._replace(is_retired=True) for key, use in one.reads.items() if is_left(use)}
        return kept if kept.write is not None or kept.reads else None

    def forget_retired(self, device: str) -> None:
        """The allocator gave its idle memory back, which it does when the device is done with it."""
        if device in self._retired:
            self._retired[device].clear()

    @property
    def blocks_forgotten(self) -> int:
        """Return how many freed blocks were dropped because there are too many: races with their uses are missed."""
        return sum(one.forgotten for one in self._retired.values())

    # ---- findings

    def _report(
        self,
        kind: str,
        use: Use,
        now: Launch,
        storage: TrackedStorage,
        extent: Extent,
        argument: str,
        is_write: bool,
    ) -> None:
        memory = f"bytes {extent.begin}-{extent.end - 1} of {_name(storage.text, storage.site)}"
        if kind == "reuse" and storage.inherited is not None:
            memory += f", in memory of {_name(*storage.inherited)}"
        self._report_pair(kind, use, now, storage.device, memory, argument, is_write)

    def _report_pair(
        self, kind: str, use: Use, now: Launch, device: str, memory: str, argument: str, is_write: bool
    ) -> None:
        then = use.launch
        hazard = ("WAW" if use.is_write else "WAR") if is_write else "RAW"
        earlier, later = self._side(then, use.argument), self._side(now, argument)
        by_thread = kind in _OF_THREADS
        agent = then.thread if by_thread else then.agent
        own = now.thread if by_thread else now.agent
        clock, epoch = self._agents[own].clock, then.thread_epoch if by_thread else then.epoch
        name = self._agents[agent].name
        known = known_order(
            self._agents[own].name, name, epoch, clock.seen.get(agent, 0), clock.why.get(agent),
            "write" if use.is_write else "read",
        )  # fmt: skip
        pair = UnorderedPair(
            hazard, kind, device, memory, later, earlier, known, remedy(kind, earlier, later, name)
        )
        key = (pair.signature, later.line, earlier.line)
        self.counts[key] = self.counts.get(key, 0) + 1
        if key not in self.pairs and len(self.pairs) < PAIRS_MAX:
            self.pairs[key] = pair

    def _side(self, one: Launch, argument: str) -> PairSide:
        step = place_text(one.step)
        where = step if one.is_host else ", ".join(filter(None, (self._agents[one.agent].name, step)))
        site = one.site
        return PairSide(
            one.op, argument, where or self._agents[one.agent].name, line_of(site),
            site.file if site else "", site.line if site else 0,
        )  # fmt: skip

    @property
    def unordered(self) -> int:
        """Return how many different pairs were found."""
        return len(self.counts)

    def found(self) -> list[UnorderedPair]:
        return list(itertools.islice(self.pairs.values(), PAIRS_MAX))


def _name(text: object, site: Site | None) -> str:
    made = f" (made at {line_of(site)})" if site is not None else ""
    return f"{text or 'a storage'}{made}"
