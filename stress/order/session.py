"""A running check: hooks in torch and `threading` that tell the model of every operator and every edge."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from stress.order import device_edges
from stress.order import host_edges
from stress.order import random_state
from stress.order import torch_edges
from stress.order.agents import Agents
from stress.order.author_line import author_line
from stress.order.clocks import Site
from stress.order.device_edges import current_stream_of
from stress.order.device_edges import stream_number
from stress.order.dispatch_mode import CrewMode
from stress.order.found import OrderCheck
from stress.order.history import Launch
from stress.order.metadata import SHAPE
from stress.order.metadata import MetadataTable
from stress.order.metadata import TensorPart
from stress.order.metadata import watch_attributes
from stress.order.op_plan import OpPlan
from stress.order.op_plan import Touch
from stress.order.op_plan import plan_of
from stress.order.op_plan import tensors_of
from stress.order.overlap import is_exact
from stress.order.results import copies_to_host
from stress.order.results import fresh
from stress.order.results import reads_later
from stress.order.results import waits_as_copy
from stress.order.storages import StorageTable
from stress.order.storages import device_name
from stress.order.storages import tensor_extent
from stress.order.torch_edges import ENGINE

_RLock = threading.RLock


class _Mode(CrewMode):
    """One thread's view: every operator that it calls, and that autograd calls for it."""

    supports_higher_order_operators = True

    def __init__(self, session: OrderSession) -> None:
        super().__init__()
        self._session = session

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if OrderSession.active is not self._session:  # a thread that has outlived the check
            return func(*args, **kwargs)
        plan = plan_of(func)
        if plan is None:
            self._session.note_unplanned(func)
            return func(*args, **kwargs)
        return self._session.run(plan, func, args, kwargs)


def _after_fork() -> None:
    """End the check in a forked child, whose findings nobody would read.

    A thread that is gone there may have held the checker's lock, or one of the device's: to ask the device for its current
    stream then hangs, where the operator itself would have been refused.
    """
    if OrderSession.active is not None:
        OrderSession.active._lock._at_fork_reinit()
        OrderSession.active = None


os.register_at_fork(after_in_child=_after_fork)


class OrderSession:
    """A running check: hooks in torch and `threading`, in front of the model. One per process at a time."""

    active: OrderSession | None = None

    def __init__(self, level: str) -> None:
        self.check = OrderCheck(level)
        self._model = self.check.model
        # Taken inside traced locks and by callbacks of torch; it must not be traced itself.
        self._lock: Any = _RLock()
        self._agents = Agents(self._model)
        self._storages = StorageTable(self._model, self._agents.known_thread)
        self._metadata = MetadataTable()
        self._streams_of: dict[torch.device, tuple[Callable[[], int], dict[int, int]]] = {}
        """Device -> what returns the calling thread's current stream, and the agents of those by number."""
        self._stack = contextlib.ExitStack()

    # ---- begin and end

    def start(self) -> None:
        """Install the hooks; raise `RuntimeError` where another check runs."""
        if OrderSession.active is not None:
            raise RuntimeError(
                "stress.order.check() is running already, in this process or by --mps-order: leave that one first, or "
                "put both parts into one check"
            )
        OrderSession.active = self
        with contextlib.ExitStack() as stack:
            stack.callback(setattr, OrderSession, "active", None)
            stack.enter_context(device_edges.listen(self))
            threads = host_edges.StartedThreads(self.host_edge, self.thread)
            threads.install(stack)
            if self._model.is_strict:
                stack.enter_context(host_edges.trace_locks(self.host_edge))
                stack.enter_context(torch_edges.backward_edges(self.host_edge))
                stack.enter_context(watch_attributes(self._attribute))
                stack.enter_context(random_state.watch_seeds(self._use_generators))
            stack.enter_context(torch_edges.host_reads(self._host_read))
            stack.enter_context(_Mode(self))
            self._stack = stack.pop_all()
        if not device_edges.has_trace():
            self.check.problems.append("this torch has no GPU trace: events of CUDA streams are not seen")
        if not is_exact():
            self.check.problems.append("numpy is not installed: views with gaps are taken to be without them")

    def stop(self) -> None:
        """Take the hooks away. What has been found stays in `check`."""
        self._stack.close()
        with self._lock:
            self._storages.drain()
        for what, count in (
            ("tensors without plain storage", self._storages.unseen),
            ("storages forgotten", self._storages.forgotten),
            ("tensors' metadata forgotten", self._metadata.forgotten),
        ):
            if count:
                self.check.unseen[what] += count
        self.check.problems += [f"a callback failed ({one})" for one in device_edges.problems]

    @contextmanager
    def thread(self) -> Iterator[None]:
        """Watch the calling thread, which a watched thread has started."""
        if OrderSession.active is not self:  # the check was over before the thread began
            yield
            return
        with self._lock:  # a lock of `threading` itself may have been seen before the thread had its name
            self._agents.name_thread(f"thread {threading.current_thread().name}")
        with _Mode(self):
            yield

    # ---- operators

    def note_unplanned(self, func: Any) -> None:
        name = str(getattr(func, "_name", func))
        if not name.startswith(("mps_stress", "prim::")):
            with self._lock:
                self.check.unseen[f"calls of {name}"] += 1

    def run(self, plan: OpPlan, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call an operator and check what it accesses. One that raises counts for nothing."""
        if plan.is_record_stream:
            self._record_stream(args)
            return func(*args, **kwargs)
        if not self._model.is_strict:
            return self._run(plan, func, args, kwargs)
        in_engine = self._agents.is_engine()
        if in_engine:
            self.host_edge("acquire", ENGINE)
        try:
            result = self._run(plan, func, args, kwargs)
            if plan.is_reshape and args and isinstance(args[0], torch.Tensor):
                self._attribute(args[0], SHAPE, True, plan.name)
            if plan.is_random and random_state.draws(plan, args, kwargs):
                generator = random_state.generator_of(plan, args, kwargs, result)
                if generator is not None:
                    self._use_generators((generator,), plan.name)
            return result
        finally:
            if in_engine:
                self.host_edge("release", ENGINE)

    def _run(self, plan: OpPlan, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        touched = plan.touches(args, kwargs)
        device = None
        others: Iterable[torch.device] = ()
        for tensor, _, _ in touched:
            if not tensor.is_cpu:
                if device is None:
                    device = tensor.device
                elif (other := tensor.device) != device:
                    others = {*others, other}
        if device is None:
            result = func(*args, **kwargs)
            if plan.is_resize and args and isinstance(args[0], torch.Tensor):
                self._replaced(args[0])
            made = list(tensors_of(result)) if plan.writes_output else []
            elsewhere = next((one for one in made if one.device.type not in ("cpu", "meta")), None)
            if elsewhere is not None:
                launch, _ = self._launch(plan.name, elsewhere.device)
                self._finish(plan, launch, touched, made, args, kwargs)
            elif self._model.is_strict or self._storages.host_count:
                self._finish(plan, None, touched, made, args, kwargs)
            return result
        if device.type == "meta":
            return func(*args, **kwargs)
        for other in others:  # torch lets the streams of a copy between two devices wait for each other
            self._link(other, device)
        launch, number = self._launch(plan.name, device)
        try:
            result = func(*args, **kwargs)
        except Exception:
            if plan.waits_with(touched) or (plan.is_copy and copies_to_host(touched, kwargs)):
                # It has waited all the same, mostly: that is how it was told of an error of the device's.
                self.stream_synchronized(device.type, number, device)
            raise
        if (plan.waits or plan.masked) and plan.waits_with(touched):
            self.stream_synchronized(device.type, number, device)
        made = list(tensors_of(result)) if plan.writes_output else []
        if plan.is_copy:
            others = {*others, *(one.device for one in made if one.device.type != "cpu")} - {device}
        for other in others:
            self._link(device, other)
        if plan.is_copy and waits_as_copy(touched, made, args, kwargs):
            self.stream_synchronized(device.type, number, device)
        self._finish(plan, launch, touched, made, args, kwargs)
        return result

    def _host_work(self, name: str, site: Site | None) -> Launch:
        """Count work that the calling thread does itself; the lock is held."""
        return self._model.host_work(self._agents.thread(), name, site, self._agents.step())

    def _link(self, first: torch.device, then: torch.device) -> None:
        """Let the current stream of one device wait for that of another."""
        one, other = stream_number(first), stream_number(then)
        with self._lock:
            thread = self._agents.thread()
            self._model.record("link", thread, self._agents.stream(first.type, one, first))
            self._model.wait("link", thread, self._agents.stream(then.type, other, then))

    def _launch(self, name: str, device: torch.device) -> tuple[Launch, int]:
        """Count an operation of the current stream, before it runs: what it waits for inside includes itself."""
        streams = self._streams_of.get(device)
        if streams is None:
            streams = self._streams_of[device] = current_stream_of(device), {}
        number, agents = streams[0](), streams[1]
        site = author_line(4)  # below this, `_run`, `run` and the mode's function
        step = self._agents.step()
        with self._lock:
            self._storages.drain()
            stream = agents.get(number)
            if stream is None:
                stream = agents[number] = self._agents.stream(device.type, number, device)
            return self._model.launch(self._agents.thread(), stream, name, site, step), number

    def _finish(
        self,
        plan: OpPlan,
        launch: Launch | None,
        touched: list[Touch],
        made: list[torch.Tensor],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Check the accesses of a call that has returned: the results are known only now."""
        site = launch.site if launch is not None else author_line()
        later = plan.is_copy and launch is not None and reads_later(touched, made, args, kwargs)
        with self._lock:
            self._storages.drain()
            by_host = None
            for tensor, argument, is_write in [*touched, *fresh(made, touched)] if made else touched:
                is_host = tensor.is_cpu
                if launch is not None and not is_host:  # as mostly
                    self._access(launch, tensor, argument, is_write, made_here=not argument)
                elif tensor.is_meta:
                    continue
                elif is_host and not later:
                    if not self._model.is_strict and not self._storages.host_count:
                        continue
                    if by_host is None:
                        by_host = self._host_work(plan.name, site)
                    self._access(by_host, tensor, argument, is_write, made_here=not argument)
                elif launch is not None:
                    self._access(launch, tensor, argument, is_write, made_here=not argument)
            if self._model.is_strict and touched:
                reader = launch or by_host
                for tensor, argument, _ in touched:
                    if reader is not None:
                        self._use_metadata(reader, tensor, SHAPE, argument, is_write=False)

    def _use_metadata(
        self, launch: Launch, tensor: torch.Tensor, part: str, argument: str, *, is_write: bool
    ) -> None:
        known = self._metadata.of(tensor, part)
        self._model.use_metadata(launch, known, TensorPart(part, tensor), argument, is_write)

    def _attribute(self, tensor: torch.Tensor, part: str, is_write: bool, name: str) -> None:
        """Note a use of a tensor's metadata that is no access of its bytes."""
        if OrderSession.active is not self:
            return
        site = author_line()
        with self._lock:
            launch = self._host_work(name, site)
            self._use_metadata(launch, tensor, part, "", is_write=is_write)

    def _access(
        self, launch: Launch, tensor: torch.Tensor, argument: str, is_write: bool, *, made_here: bool
    ) -> None:
        tracked = (
            self._storages.known(tensor)
            if launch.is_host and not self._model.is_strict
            else self._storages.of(tensor, launch.site if made_here else None)
        )
        if tracked is None:
            return
        extent = tensor_extent(tensor)
        if extent is not None:
            self._model.access(launch, tracked, extent, argument, is_write)

    def _use_generators(self, generators: Iterable[tuple[object, str]], name: str) -> None:
        """Note a call that draws from these generators, or reads or sets their states."""
        site = author_line()
        with self._lock:
            launch = self._host_work(name, site)
            for generator in generators:
                self._model.draw(launch, *generator)

    def _record_stream(self, args: tuple[Any, ...]) -> None:
        tensor, stream = args[:2]
        with self._lock:
            tracked = self._storages.of(tensor)
            if tracked is not None:
                number = device_edges.number_of(stream)
                tracked.recorded.add(self._agents.stream(tensor.device.type, number, tensor.device))

    def _replaced(self, tensor: torch.Tensor) -> None:
        with self._lock:
            self._storages.replaced(tensor)

    def touches(
        self, stream: Any, reads: Iterable[torch.Tensor], writes: Iterable[torch.Tensor], name: str
    ) -> None:
        """Check the accesses of a kernel that torch did not launch."""
        touched: list[Touch] = [*((one, "", False) for one in reads), *((one, "", True) for one in writes)]
        device = next((tensor.device for tensor, _, _ in touched), None)
        if device is None:
            return
        site = author_line()
        with self._lock:
            self._storages.drain()
            thread = self._agents.thread()
            if device.type == "cpu":
                launch = self._host_work(name, site)
            else:
                own = stream_number(device) if stream is None else device_edges.number_of(stream)
                agent = self._agents.stream(device.type, own, device)
                launch = self._model.launch(thread, agent, name, site, self._agents.step())
            for tensor, argument, is_write in touched:
                self._access(launch, tensor, argument, is_write, made_here=False)

    # ---- edges: called by torch's trace and by the wrapped functions

    def event_recorded(self, device: str, event: int, stream: int) -> None:
        with self._lock:
            self._model.record(
                (device, event), self._agents.thread(), self._agents.stream(device, stream), author_line()
            )

    def event_awaited(self, device: str, event: int, stream: int) -> None:
        with self._lock:
            self._model.wait((device, event), self._agents.thread(), self._agents.stream(device, stream))

    def event_synchronized(self, device: str, event: int) -> None:
        with self._lock:
            self._storages.drain()
            self._model.synchronize_event((device, event), self._agents.thread())

    def event_forgotten(self, device: str, event: int) -> None:
        with self._lock:
            self._model.forget_event((device, event))

    def stream_synchronized(self, device: str, stream: int, exact: torch.device | None = None) -> None:
        with self._lock:
            self._storages.drain()
            self._model.synchronize_stream(
                self._agents.stream(device, stream, exact), self._agents.thread(), author_line()
            )

    def device_synchronized(self, device: str) -> None:
        index = torch.cuda.current_device() if device == "cuda" else 0
        with self._lock:
            self._storages.drain()
            self._model.synchronize_device(
                device_name(torch.device(device, index)), self._agents.thread(), author_line()
            )

    def memory_returned(self, device: str) -> None:
        with self._lock:
            self._storages.drain()
            self._model.forget_retired(device)

    def host_edge(self, what: str, token: object) -> None:
        """Note that the calling thread came after, or may be come after, whatever `token` stands for."""
        if OrderSession.active is not self or not self._model.is_strict:
            return
        if what == "forget":  # from wherever the last reference goes: no lock
            self._model.forget_token(token)
            return
        with self._lock:
            if what == "release":
                self._model.release(token, self._agents.thread(), author_line())
            elif what == "end":
                self._storages.drain()  # with what it still knows
                self._model.end_thread(self._agents.thread())
            else:
                self._storages.drain()
                self._model.acquire(token, self._agents.thread())

    def _host_read(self, tensor: torch.Tensor, name: str) -> None:
        """Note that something reads a tensor's memory on the host without an operator."""
        if OrderSession.active is self:
            with self._lock:
                launch = self._host_work(name, author_line())
                self._access(launch, tensor, "", False, made_here=False)
