"""Faults to plant into a scenario from outside: what the controls in `test_controls.py` run in child processes.

Every fault is safe for memory and strikes one (thread, iteration), so that it is the scenario's check alone
which decides whether it is seen. Loaded by the child through a generated file of one line.
"""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from stress import ProcessScenario
from stress import current
from stress.child import tensor_tree
from stress.child.state import state_tensors
from stress.device import spawned_process

Role = Callable[[Any, Any], Any]

THREAD, ITERATION = 1, 2
"""Where a fault strikes, in the first wave."""

_WAIT_S = 20.0
_SHARE = {torch.float16: 0.05, torch.bfloat16: 0.25}
"""How large the error of a single wrong element is, as a share of the leaf's largest value; else 0.01."""


def load_class(path: str, qualname: str) -> Any:
    """Import the scenario file by its path, under a name that no other module has."""
    name = f"planted_{Path(path).stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return getattr(sys.modules[name], qualname)


def make(path: str, qualname: str, fault: str) -> Any:
    """Return the scenario class with the fault planted (`"none"`: only the wrapping)."""
    base = load_class(path, qualname)
    if fault in OWN.get(qualname, {}):
        return OWN[qualname][fault](base)
    if issubclass(base, ProcessScenario):
        return PROCESS[fault](base)
    plant = GENERIC[fault]

    class Subject(base):  # type: ignore[misc, valid-type]
        def steps(self) -> list[Role]:
            return [functools.wraps(role)(plant(role)) for role in super().steps()]

    return Subject


def is_target(thread: int = THREAD) -> bool:
    step = current()
    thread = min(thread, step.thread_count - 1)  # a first wave may have one thread only
    return (step.wave, step.thread_index, step.iteration) == (0, thread, ITERATION)


def _cloned(value: Any) -> Any:
    return tensor_tree.map_tensors(lambda tensor: tensor.detach().clone(), value)


def _none(role: Role) -> Role:
    return functools.partial(role)


def _exception(role: Role) -> Role:
    def step(state: Any, x: Any) -> Any:
        if is_target():
            raise RuntimeError("planted")
        return role(state, x)

    return step


def _stale(role: Role) -> Role:
    """The thread gets its own previous value."""
    kept = threading.local()

    def step(state: Any, x: Any) -> Any:
        value = role(state, x)
        before, kept.value = getattr(kept, "value", None), _cloned(value)
        return before if is_target() else value

    return step


_of_other: dict[int, Any] = {}


def _cross_talk(role: Role) -> Role:
    """The thread gets what another thread (of the same role, where there are four) got in the same iteration."""

    def step(state: Any, x: Any) -> Any:
        value = role(state, x)
        if is_target(thread=3 if current().thread_count > 3 else 0):
            _of_other[ITERATION] = _cloned(value)
        if not is_target():
            return value
        deadline_s = time.monotonic() + _WAIT_S
        while ITERATION not in _of_other and time.monotonic() < deadline_s:
            time.sleep(0.0005)
        return _of_other[ITERATION]

    return step


def _element(role: Role) -> Role:
    """One element of one leaf is a little wrong: as little as the leaf's dtype can tell from roundings."""

    def step(state: Any, x: Any) -> Any:
        value = role(state, x)
        if not is_target():
            return value
        leaves, spec = tensor_tree.flatten(_cloned(value), "planted")
        place = random.Random(getattr(role, "__qualname__", "")).randrange(len(leaves))
        while not leaves[place].numel():
            place = (place + 1) % len(leaves)
        leaves[place] = _one_wrong(leaves[place])
        return tensor_tree.unflatten(leaves, spec)

    return step


def _one_wrong(leaf: torch.Tensor) -> torch.Tensor:
    flat = leaf.reshape(-1).clone()
    at = flat.numel() // 2
    if leaf.dtype == torch.bool:
        flat[at] = ~flat[at]
    elif leaf.dtype.is_floating_point:
        largest = float(flat.abs().max())
        flat[at] += _SHARE.get(leaf.dtype, 0.01) * largest or 1.0
    else:
        flat[at] += 1
    return flat.reshape(leaf.shape)


def _state(role: Role) -> Role:
    """A tensor of the state is overwritten while the crew runs, by a thread whose own role reads it.

    Role 0: where another role struck, all threads that read the state could have ended by then.
    """

    def step(state: Any, x: Any) -> Any:
        if is_target(thread=0):
            with torch.no_grad():
                # Not a shift, which a normalisation behind it would hide.
                floating_tensors(state)[0].view(-1)[::2].neg_()
        return role(state, x)

    return step


def floating_tensors(state: Any) -> list[torch.Tensor]:
    return [tensor for _, tensor in state_tensors(state) if tensor.is_floating_point()]


def _dying_at_exit(base: Any) -> Any:
    """The process dies while the interpreter ends, after its body has finished."""

    class Subject(base):
        def body(self, device: torch.device) -> None:
            super().body(device)
            atexit.register(os.abort)

    return Subject


def _wrong_at_exit(base: Any) -> Any:
    """What the device computes while the interpreter ends is wrong."""

    class Subject(base):
        def body(self, device: torch.device) -> None:
            super().body(device)
            atexit.register(self._spoil)  # runs before what the body registered

        def _spoil(self) -> None:
            vars(sys.modules[base.__module__])["climb"] = lambda *_, **__: torch.zeros(1)

    return Subject


PROCESS: dict[str, Callable[[Any], Any]] = {
    "none": lambda base: type("Subject", (base,), {}),
    "dies at exit": _dying_at_exit,
    "wrong at exit": _wrong_at_exit,
}
"""Faults for process scenarios, which have a body in place of steps."""

GENERIC: dict[str, Callable[[Role], Role]] = {
    "none": _none,
    "exception": _exception,
    "stale": _stale,
    "cross-talk": _cross_talk,
    "element": _element,
    "state": _state,
}
"""Faults that every scenario has to report, apart from the exemptions in `test_controls.py`."""


# ---------------------------------------------------------------- faults of one scenario's own, where the
# subject is not the value of a step, or where any value of another thread would be right too.


def _after_step(base: Any, act: Callable[[Any, Any, Any], None]) -> Any:
    """Return the class with `act(state, x, value)` after the step that is the target."""

    class Subject(base):
        def step(self, state: Any, x: Any) -> Any:
            value = super().step(state, x)
            if is_target():
                act(state, x, value)
            return value

    return Subject


def _repeated_draw(base: Any) -> Any:
    """The generator's state is written back: the following draw comes a second time."""

    class Subject(base):
        def step(self, state: Any, x: Any) -> Any:
            if not is_target():
                return super().step(state, x)
            before = torch.get_rng_state()
            value = super().step(state, x)
            torch.set_rng_state(before)
            return value

    return Subject


def _skipped_draw(base: Any) -> Any:
    """One draw is made that nobody gets."""

    def act(_state: Any, _x: Any, _value: Any) -> None:
        torch.rand(64)

    return _after_step(base, act)


def _disagreeing_result(base: Any) -> Any:
    def act(state: Any, _x: Any, value: Any) -> None:
        with state["lock"]:
            at = next(index for index, one in enumerate(state["results"]) if one is value)
            state["results"][at] = value + 1e-3

    return _after_step(base, act)


def _lost_result(base: Any) -> Any:
    def act(state: Any, _x: Any, _value: Any) -> None:
        with state["lock"]:
            state["results"].pop()

    return _after_step(base, act)


def _lost_gradient(base: Any) -> Any:
    """One thread's gradient is missing in the sum, as after two accumulations that raced."""

    def act(state: Any, x: Any, _value: Any) -> None:
        with state["lock"]:
            state["weight"].grad.sub_(x)

    return _after_step(base, act)


def _wrong_print(base: Any) -> Any:
    class Subject(base):
        def main_step(self, state: Any) -> None:
            super().main_step({**state, "watched": state["watched"] + 1})

    return Subject


def _swallowed_error(base: Any) -> Any:
    """The offender is not told of its own error."""

    class Subject(base):
        def offend(self, state: Any, x: Any) -> Any:
            return self.work(state, x) if is_target(thread=0) else super().offend(state, x)

    return Subject


def _foreign_error(base: Any) -> Any:
    """A bystander is told of the offender's error."""

    class Subject(base):
        def work(self, state: Any, x: Any) -> Any:
            return x @ x if is_target() else super().work(state, x)

    return Subject


def _nothing_dropped(base: Any) -> Any:
    class Subject(base):
        def step(self, state: Any, x: Any) -> Any:
            return (x, 2 * x) if is_target() else super().step(state, x)

    return Subject


def _shared_stream(base: Any) -> Any:
    """A thread finds itself on a stream that another live thread has: the main thread, which lives longest."""

    class Subject(base):
        def step(self, state: Any, x: Any) -> Any:
            if is_target():
                state["claims"]._owner.update(dict.fromkeys(range(1, 32), threading.main_thread()))
            return super().step(state, x)

    return Subject


def _wrong_source(base: Any) -> Any:
    """What is copied to the device is not what the source held when the copy was asked for."""

    class Subject(base):
        def step(self, state: Any, x: Any) -> Any:
            if not is_target():
                return super().step(state, x)
            full, me = torch.full, threading.current_thread()

            def late(size: Any, value: float, **more: Any) -> torch.Tensor:
                is_source = len(size) == 1 and threading.current_thread() is me
                return full(size, value + is_source, **more)

            torch.full = late  # type: ignore[assignment]
            try:
                return super().step(state, x)
            finally:
                torch.full = full

    return Subject


_leaked: list[torch.Tensor] = []


def _growing(base: Any) -> Any:
    """Each measurement finds a megabyte more than the one before it."""

    class Subject(base):
        @staticmethod
        def _measure(memory: Any, device: torch.device) -> None:
            _leaked.append(torch.ones(1 << 18, device=device))
            base._measure(memory, device)

    return Subject


def _slowing(base: Any) -> Any:
    """Each round of the device's requests takes longer than the one before it; the host's do not."""

    class Subject(base):
        def _serve(self, shift: Any) -> Any:
            wave = current().wave
            time.sleep(0.0 if wave % 2 else 3e-4 * wave)
            return super()._serve(shift)

    return Subject


def _bytes_left(base: Any) -> Any:
    """What one thread allocated while memory was short is never freed."""

    class Subject(base):
        def step(self, state: Any, x: Any) -> Any:
            value = super().step(state, x)
            if is_target():
                _leaked.append(state["small"] * 2)
            return value

    return Subject


def _child_that(wrong: int, status: int) -> Callable[[Any], Any]:
    """The spawned process computes something else, or ends otherwise. None is started."""

    def plant(base: Any) -> Any:
        class Subject(base):
            def spawn(self, state: Any, x: Any) -> Any:
                before = spawned_process.compute
                spawned_process.compute = lambda device: spawned_process.Answer(wrong, status)
                try:
                    return super().spawn(state, x)
                finally:
                    spawned_process.compute = before

        return Subject

    return plant


def _weight_changed(base: Any) -> Any:
    """What requests compute with changes while they wait in the queue."""

    class Subject(base):
        def stop(self, state: Any, x: Any) -> Any:
            if current().iteration == 0:
                state["weight"].neg_().sum().item()  # done, and not only encoded
            return super().stop(state, x)

    return Subject


def _leak(base: Any) -> Any:
    """A tensor made in the second wave, after the level was taken, is never freed."""

    class Subject(base):
        def step(self, state: Any, x: Any) -> Any:
            value = super().step(state, x)
            if current().wave == 1 and current().iteration == ITERATION:
                _leaked.append(torch.ones(64, device=floating_tensors(state)[0].device))
            return value

    return Subject


def _not_refused(base: Any) -> Any:
    """A forked child is not told that it cannot use the device."""

    class Subject(base):
        def fork(self, state: Any, x: Any) -> Any:
            value = super().fork(state, x)
            return {**value, "children not refused": 1} if is_target(thread=0) else value

    return Subject


def _late_error_swallowed(base: Any) -> Any:
    """The offender is told of one error less than it made."""

    class Subject(base):
        def offend(self, state: Any, x: Any) -> Any:
            value = super().offend(state, x)
            return {**value, "told": value["told"] - 1} if is_target(thread=0) else value

    return Subject


def _granted(base: Any) -> Any:
    class Subject(base):
        def ask(self, state: Any, x: Any) -> Any:
            value = super().ask(state, x)
            return (value[0], False) if is_target(thread=0) else value

    return Subject


OWN: dict[str, dict[str, Callable[[Any], Any]]] = {
    "DefaultGenerator": {"repeated draw": _repeated_draw, "skipped draw": _skipped_draw},
    "LayerNormAgreement": {"disagreeing result": _disagreeing_result, "lost result": _lost_result},
    "ForkWhileActive": {"not refused": _not_refused},
    "ImpossibleRequest": {"granted": _granted},
    "LatencyDrift": {"slowing": _slowing},
    "LateErrors": {"late error swallowed": _late_error_swallowed},
    "MemoryLevel": {"leak": _leak},
    "MemorySlope": {"growing": _growing},
    "NonBlockingToDevice": {"wrong source": _wrong_source},
    "OneOffender": {"swallowed error": _swallowed_error, "foreign error": _foreign_error},
    "PoolAtCapacity": {"shared stream": _shared_stream},
    "PressureAndRecovery": {"bytes left": _bytes_left},
    "PrintingDebugger": {"wrong print": _wrong_print},
    "ReleasedSlots": {"shared stream": _shared_stream},
    "SharedDropout": {"nothing dropped": _nothing_dropped},
    "SharedGradient": {"lost gradient": _lost_gradient},
    "SpawnWhileActive": {"wrong child": _child_that(3, 0), "dying child": _child_that(0, -11)},
    "StopWhileSubmitting": {"weight changed": _weight_changed},
    "StreamAssignment": {"shared stream": _shared_stream},
    "TimedEventsLetGo": {"leak": _leak},
}
