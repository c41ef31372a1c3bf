"""Who acts in a running check: the calling thread and the streams, by the numbers that the model knows them by."""

from __future__ import annotations

import itertools
import threading

import torch

from stress.order.history import Place
from stress.order.model import OrderModel
from stress.order.storages import device_name
from stress.order.torch_edges import ENGINE
from stress.scenario.current import running


class _OwnThread(threading.local):
    agent: int = -1
    name: str = ""


class Agents:
    """The agents of a model. A thread gets its number when it is first asked for. Not locked, as the model is not."""

    def __init__(self, model: OrderModel) -> None:
        self._model = model
        self._own = _OwnThread()
        self._numbers = itertools.count()
        self._streams: dict[tuple[str, int, int], int] = {}

    def known_thread(self) -> int:
        """Return the calling thread's agent, or -1 where it has none yet."""
        return self._own.agent

    def thread(self) -> int:
        """Return the calling thread's agent."""
        own = self._own
        agent = own.agent
        if agent < 0:
            # Not current_thread(): in a thread of autograd's that would make an object that stays for ever.
            known = threading._active.get(threading.get_ident())  # type: ignore[attr-defined]
            own.name = own.name or (f"thread {known.name}" if known is not None else ENGINE)
            agent = own.agent = self._model.thread(next(self._numbers), own.name)
        return agent

    def name_thread(self, name: str) -> None:
        """Name the calling thread."""
        self._own.name = name
        self._model.name_thread(self.thread(), name)

    def is_engine(self) -> bool:
        """Return whether the calling thread is one of autograd's engine."""
        self.thread()
        return self._own.name == ENGINE

    def step(self) -> Place:
        """Return what the calling thread is at."""
        step = running()
        return self._own.name if step is None else (step.thread_index, step.iteration)

    def stream(self, type_: str, number: int, device: torch.device | None = None) -> int:
        """Return a stream's agent. CUDA calls the default stream of every device 0."""
        if type_ != "cuda":  # without a look at the device, since it has one
            agent = self._streams.get((type_, 0 if number == 0 else -1, number))
            if agent is not None:
                return agent
        index = 0
        if type_ == "cuda":
            index = (
                device.index
                if device is not None and device.index is not None
                else torch.cuda.current_device()
            )
        key = (type_, index if number == 0 else -1, number)
        agent = self._streams.get(key)
        if agent is None:
            # CUDA's numbers are addresses: its streams are counted instead.
            others = sum(one[0] == type_ and one[2] != 0 for one in self._streams)
            shown = number if type_ != "cuda" or not number else others + 1
            name = device_name(torch.device(type_, index))
            agent = self._streams[key] = self._model.stream(key, name, f"stream {shown}")
        return agent
