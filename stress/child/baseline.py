"""What a process was before its first attempt, and the way back to it after each: no attempt may find what another left.

What belongs to Python and to this framework is put back. What cannot be, or should not (a flag of torch that nobody knows
the meaning of, a thread, memory that does not come back), ends the process, and the parent says why. The device's and
torch's caches stay warm, which is what is gained; docs/statistics.md says what that costs.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from stress.child.authors_modules import AuthorsModules
from stress.device.devices import Device
from stress.device.devices import open_device
from stress.model import system
from stress.model.spec import ChildSpec

RESIDENT_GROWTH_BYTES_MAX = 512 << 20
"""More resident memory than after the first attempt ends the process."""
_DEVICE_GROWTH_BYTES_MAX = 64 << 20
_CACHE_GROWTH_BYTES_MAX = 256 << 20
_DESCRIPTORS_GROWTH_MAX = 32
_THREADS_GROWTH_MAX = 64
"""Native threads: torch and devices start theirs one by one, when first needed."""
_END_S_MAX = 1.0
"""Time that a thread gets to end."""

_WATCHED = (
    "torch", "torch.Tensor", "torch.nn.Module", "torch.nn.functional", "torch.autograd", "torch.linalg", "torch.fft",
    "torch.special", "torch.random", "torch.cuda", "torch.mps", "torch.cpu", "torch.serialization", "torch.utils.data",
    "random", "time", "threading", "os", "builtins",
)  # fmt: skip
"""Modules and classes whose functions an author may have replaced."""


@dataclass(frozen=True)
class _Level:
    """What the process holds between two attempts."""

    resident_bytes: int
    descriptors: int
    threads: int
    device_bytes: int
    reserved_bytes: int


class Baseline:
    """Taken once, before the first attempt; `restore` after each."""

    def __init__(self) -> None:
        self._runtime = [(put, get()) for get, put in _RUNTIME]
        self._attributes = [(owner, name, getattr(owner, name)) for owner, name in _HOOKS]
        self._environment, self._filters = dict(os.environ), list(warnings.filters)
        self._signals = {number: signal.getsignal(number) for number in _signals()}
        self._compile = torch.compile
        self._functions = {name: _callables(name) for name in _WATCHED}
        self._flags = dict(_torch_flags())
        self._modules = frozenset(sys.modules)
        self._threads = frozenset(threading.enumerate())
        self._first: _Level | None = None

    def restore(self, spec: ChildSpec) -> str:
        """Make the process what it was; return why it cannot be, or an empty text."""
        try:
            return self._restore(spec)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def _restore(self, spec: ChildSpec) -> str:
        torch.compile = self._compile  # counted in each crew
        self._put_python_back()
        why = self._torch() or self._threads_left()
        if why:
            return why
        self._forget_authors_modules(spec)
        device = open_device(spec.device)
        gc.collect()
        device.synchronize()
        return _stream_left(device) or _processes_left() or self._growth(device)

    def _put_python_back(self) -> None:
        for owner, name, value in self._attributes:
            setattr(owner, name, value)
        for put, value in self._runtime:
            put(value)
        if list(warnings.filters) != self._filters:
            warnings.resetwarnings()
            warnings.filters.extend(self._filters)  # type: ignore[attr-defined]
        for name in set(os.environ) - set(self._environment):
            del os.environ[name]
        os.environ.update(self._environment)
        for number, handler in self._signals.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    def _torch(self) -> str:
        """Return which state of torch is another one; nobody but its author knows how to put it back."""
        utils = sys.modules.get("torch._dynamo.utils")
        if utils is not None and utils.counters["frames"]:
            return "torch.compile was used, whose caches stay"
        for name, functions in self._functions.items():
            now = vars(_named(name))
            for one, value in functions.items():
                if now.get(one) is not value:
                    return f"{name}.{one} was replaced"
        flags = dict(_torch_flags())
        changed = next((name for name, value in self._flags.items() if flags[name] != value), None)
        if changed is not None:
            return f"{changed} was changed"
        return ""

    def _threads_left(self) -> str:
        deadline = time.monotonic() + _END_S_MAX
        left = [one for one in threading.enumerate() if one not in self._threads]
        for one in left:
            one.join(max(0.0, deadline - time.monotonic()))
        alive = next((one.name for one in left if one.is_alive()), None)
        return f"a thread was left ({alive})" if alive is not None else ""

    def _forget_authors_modules(self, spec: ChildSpec) -> None:
        """Let the next attempt import the author's files anew: what they keep is the scenario's state, too."""
        if spec.scenario is None:
            return
        modules = AuthorsModules(spec.scenario.path, known=self._modules).loaded()
        mine = {id(one) for one in modules}
        for name in [name for name, one in sys.modules.items() if id(one) in mine]:
            del sys.modules[name]

    def _growth(self, device: Device) -> str:
        """Return what has grown since the first attempt, when the device and torch had what they need."""
        level = _level(device)
        if self._first is None:
            self._first = level
            return ""
        first = self._first
        if (
            level.reserved_bytes - first.reserved_bytes > _CACHE_GROWTH_BYTES_MAX
            or level.device_bytes - first.device_bytes > _DEVICE_GROWTH_BYTES_MAX
        ):
            device.empty_cache()
            level = _level(device)
        if level.device_bytes - first.device_bytes > _DEVICE_GROWTH_BYTES_MAX:
            return "memory of the device did not come back"
        if level.resident_bytes - first.resident_bytes > RESIDENT_GROWTH_BYTES_MAX:
            return "memory did not come back"
        if level.descriptors - first.descriptors > _DESCRIPTORS_GROWTH_MAX:
            return "files were left open"
        if level.threads - first.threads > _THREADS_GROWTH_MAX:
            return "native threads were left"
        return ""


def _level(device: Device) -> _Level:
    memory = device.memory()
    return _Level(
        system.own_memory_bytes(),
        len(os.listdir("/dev/fd")),
        psutil.Process().num_threads(),
        memory.get("allocated_bytes", 0),
        memory.get("reserved_bytes", memory.get("driver_bytes", 0)),
    )


def _stream_left(device: Device) -> str:
    """Return that the main thread works on another stream than at first, where streams can be told apart."""
    return "another stream was left selected" if getattr(device.current_stream(), "stream_id", 0) else ""


def _processes_left() -> str:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return ""
    return "a process was left"


def _named(path: str) -> Any:
    module, _, rest = path.partition(".")
    found = sys.modules[module]
    for part in rest.split(".") if rest else ():
        found = getattr(found, part)
    return found


def _callables(path: str) -> dict[str, object]:
    return {name: value for name, value in vars(_named(path)).items() if callable(value)}


def _torch_flags() -> Iterator[tuple[str, object]]:
    """Yield flags that no attempt of ours changes. `Cuda` sets those of TF32, for every attempt."""
    yield "the inference mode", torch.is_inference_mode_enabled()
    yield "the precision of float32 products", torch.get_float32_matmul_precision()
    yield "anomaly detection", torch.is_anomaly_enabled()
    yield "autocast", torch.is_autocast_enabled()
    yield "the default device", str(torch.get_default_device())
    yield (
        "a mode of operators",
        (
            torch._C._len_torch_dispatch_stack(),
            torch._C._len_torch_function_stack(),
            torch._C._is_torch_function_enabled(),
        ),
    )
    cudnn, sdp = torch.backends.cudnn, torch.backends.cuda
    yield "torch.backends.cudnn", (cudnn.enabled, cudnn.benchmark, cudnn.deterministic)
    yield (
        "torch.backends.cuda",
        (sdp.flash_sdp_enabled(), sdp.mem_efficient_sdp_enabled(), sdp.math_sdp_enabled()),
    )
    yield "torch.backends.mkldnn", torch.backends.mkldnn.enabled
    hooks = vars(torch.nn.modules.module)
    names = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks")
    yield "hooks of all modules", tuple(len(hooks.get(name, ())) for name in names)


def _signals() -> tuple[int, ...]:
    return tuple(int(one) for one in signal.valid_signals() if one not in (signal.SIGKILL, signal.SIGSTOP))


def _set_deterministic(value: tuple[bool, bool]) -> None:
    if value != _deterministic():
        torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _deterministic() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _set_default_dtype(value: torch.dtype) -> None:
    if value != torch.get_default_dtype():
        torch.set_default_dtype(value)


def _stop_timers() -> None:
    """A timer's signal would end, or interrupt, an attempt that has not started it."""
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)


def _collect(is_on: bool) -> None:
    (gc.enable if is_on else gc.disable)()


_RUNTIME: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (sys.getswitchinterval, sys.setswitchinterval),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (sys.gettrace, sys.settrace),
    (sys.getprofile, sys.setprofile),
    (threading.gettrace, threading.settrace),
    (threading.getprofile, threading.setprofile),
    (threading.stack_size, threading.stack_size),
    (gc.isenabled, _collect),
    (lambda: None, lambda _: _stop_timers()),
    (gc.get_threshold, lambda value: gc.set_threshold(*value)),
    (torch.get_default_dtype, _set_default_dtype),
    (torch.is_grad_enabled, torch._C._set_grad_enabled),
    (_deterministic, _set_deterministic),
)
_HOOKS: tuple[tuple[Any, str], ...] = (
    (sys, "excepthook"),
    (sys, "unraisablehook"),
    (sys, "displayhook"),
    (threading, "excepthook"),
    (warnings, "showwarning"),
)
