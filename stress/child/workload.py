"""One scenario made runnable: states, inputs, and a single step with its outcome. Child processes only."""

from __future__ import annotations

import contextlib
import copy
import inspect
import random
import re
import traceback
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from types import ModuleType
from typing import Any

import torch

from stress.child import tensor_tree
from stress.child.state import exact_dtype
from stress.child.state import state_tensors
from stress.child.state import to_exact
from stress.model import seeds
from stress.model.errors import BrokenScenario
from stress.model.errors import says_out_of_memory
from stress.model.finding import Finding
from stress.model.finding import broken
from stress.model.plan import Plan
from stress.model.plan import Slot
from stress.model.verdict import Verdict
from stress.scenario.scenario import Scenario
from stress.scenario.scenario import overrides

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_MESSAGE_CHARS_MAX = 500


@dataclass(frozen=True)
class Raised:
    """An exception as a value: two are equal when type and message (addresses removed) are."""

    kind: str
    message: str
    trace: str = field(compare=False, default="")
    is_control_flow: bool = field(compare=False, default=False)
    """SystemExit, KeyboardInterrupt, pytest.skip, a Warning, a failed assert: never a value to be expected."""
    is_oom: bool = field(compare=False, default=False)
    lacks: str = field(compare=False, default="")
    """The function of torch that was called and is missing, as in "torch.accelerator.empty_cache"."""

    @classmethod
    def of(cls, error: BaseException) -> Raised:
        message = _ADDRESS.sub("0x…", str(error))[:_MESSAGE_CHARS_MAX]
        control_flow = not isinstance(error, Exception) or isinstance(error, Warning | AssertionError)
        oom = isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or says_out_of_memory(message)
        trace = "".join(traceback.format_exception(error, limit=-8))
        return cls(type(error).__name__, message, trace, control_flow, oom, function_of_torch(error))

    @property
    def is_of_this_torch(self) -> bool:
        """Whether torch still lacks the function: one that a thread removed for a moment is a race."""
        return bool(self.lacks) and _is_missing(self.lacks)

    def finding(self, where: str = "") -> Finding:
        """Return what the exception means in a thread that should have raised none; `where` begins its text."""
        if self.is_of_this_torch:
            return self.missing_function()
        verdict, name = (Verdict.OOM, "out-of-memory") if self.is_oom else (Verdict.RACE, "exception")
        return Finding(verdict, name, f"{where}{self}", trace=self.trace)

    def missing_function(self) -> Finding:
        text = (
            f"this torch ({torch.__version__}) has no {self.lacks}: call it only where hasattr() finds it, or list "
            "the capability that it needs in requires"
        )
        return broken("missing function", text, self.trace)

    def __str__(self) -> str:
        return f"{self.kind}: {self.message.splitlines()[0] if self.message else ''}".rstrip(": ")


def function_of_torch(error: BaseException) -> str:
    """Return the name that a module or class of torch does not have; "" for any other exception.

    An attribute that an object lacks is another matter: its threads may have made or deleted it.
    """
    owner, name = getattr(error, "obj", None), getattr(error, "name", None)
    if not isinstance(error, AttributeError) or name is None or not isinstance(owner, ModuleType | type):
        return ""
    path = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
    return f"{path}.{name}" if path.partition(".")[0] == "torch" else ""


def _is_missing(path: str) -> bool:
    owner: Any = torch
    for part in path.split(".")[1:]:
        if not hasattr(owner, part):
            return True
        owner = getattr(owner, part)
    return False


@dataclass
class StepResult:
    """The result of one step: leaves with their structure, or an exception."""

    leaves: list[torch.Tensor] = field(default_factory=list)
    spec: Any = None
    """Its `tensor_tree.Structure`; None where it raised."""
    raised: Raised | None = None
    homes: list[str] = field(default_factory=list)
    """Device type that each leaf was on before it was read back: a step may return host values too."""


class Workload:
    """States and inputs of one item, identical in every process that is given the same seed."""

    def __init__(self, scenario: Scenario, plan: Plan, *, seed: int) -> None:
        self.scenario = scenario
        self.plan = plan
        self.seed = seed
        self.roles = list(scenario.steps())
        if not self.roles:
            raise BrokenScenario("steps() returned no step function")
        for role in self.roles:
            if inspect.iscoroutinefunction(role) or inspect.isgeneratorfunction(role):
                raise BrokenScenario(
                    f"{getattr(role, '__name__', role)} is a coroutine or generator function, whose body a call "
                    "does not run: write a plain function"
                )
        if scenario.sharing not in ("shared", "per-thread"):
            raise BrokenScenario(f'sharing is {scenario.sharing!r}: use "shared" or "per-thread"')

    def role(self, slot: Slot) -> int:
        return slot.thread % len(self.roles)

    def make_states(self, device: torch.device) -> list[Any]:
        """Return one state, or one for each worker where they do not share, from generators seeded alike."""
        count = self.plan.workers if self.scenario.sharing == "per-thread" else 1
        return [self._setup(device, worker) for worker in range(count)]

    def _setup(self, device: torch.device, worker: int) -> Any:
        seeds.seed_generators(seeds.derive(self.seed, "setup", 0, worker))
        try:
            return self.scenario.setup(device)
        except torch.cuda.OutOfMemoryError:  # every device's; `torch.OutOfMemoryError` is new in 2.5
            raise
        except Exception as error:
            raise BrokenScenario(
                f"setup raised {Raised.of(error)}\n{traceback.format_exc(limit=-6)}"
            ) from error

    def check_states(self, states: Sequence[Any]) -> None:
        """Compare the initial tensors bitwise with those of a CPU setup; raise `BrokenScenario`."""
        own = state_tensors(states[0])
        cpu = state_tensors(self._setup(torch.device("cpu"), 0))
        elsewhere = next((tensor.device.type for _, tensor in cpu if tensor.device.type != "cpu"), None)
        if elsewhere is not None:
            raise BrokenScenario(
                f"setup(device) was called with cpu and made tensors on {elsewhere}: use `device`, as in .to(device)"
            )
        if [path for path, _ in own] != [path for path, _ in cpu]:
            raise BrokenScenario(
                "setup builds a different state on the CPU and on the device: the state must not depend on the device"
            )
        for (path, tensor), (_, expected) in zip(own, cpu, strict=True):
            if not tensor_tree.same_bits(tensor.detach().cpu(), expected.detach()):
                raise BrokenScenario(
                    f"the initial {path} differs from the CPU's: setup must draw on the CPU and then move "
                    "(torch.randn(...).to(device)), and only from the default generators of torch, random or numpy"
                )

    def make_inputs(self) -> list[Any]:
        """Return one CPU input per slot, drawn from its own generator."""
        first, *others = self.plan.slots
        # The generators are looked at around the first input, whose error should be about them, and around all others
        # at once: looking takes as long as drawing a small input.
        with _untouched_generators():
            made = self._draw(first)
        if overrides(self.scenario, "make_input"):
            for left, right in zip(_tensors(made), _tensors(self._draw(first)), strict=True):
                if not tensor_tree.same_bits(left, right):
                    raise BrokenScenario(
                        "make_input gave two different inputs for one seed: draw only from the generator that it is given"
                    )
        with _untouched_generators():
            return [made, *map(self._draw, others)]

    def _draw(self, slot: Slot) -> Any:
        seed = seeds.derive(self.seed, "input", slot.wave, slot.thread, slot.iteration)
        try:
            made = self.scenario.make_input(torch.Generator().manual_seed(seed))
        except Exception as error:
            raise BrokenScenario(
                f"make_input raised {Raised.of(error)}\n{traceback.format_exc(limit=-6)}"
            ) from error
        for tensor in _tensors(made):
            if tensor.device.type != "cpu":
                raise BrokenScenario(
                    f"make_input returned a tensor on {tensor.device}: return CPU tensors; the framework moves them"
                )
        return made

    def state_of(self, states: Sequence[Any], slot: Slot) -> Any:
        return states[slot.worker] if len(states) > 1 else states[0]

    def finish_argument(self, states: Sequence[Any]) -> Any:
        """Return what `finish` and `main_step` get: the state, or the list of all threads' states."""
        return list(states) if self.scenario.sharing == "per-thread" else states[0]

    def run(self, states: Sequence[Any], slot: Slot, x: Any) -> StepResult:
        """Run one step; an exception is an outcome, a value that cannot be judged is `BrokenScenario`."""
        role = self.roles[self.role(slot)]
        try:
            value = role(self.state_of(states, slot), x)
        except BaseException as error:  # SystemExit and KeyboardInterrupt of a step are its outcome too
            return StepResult(raised=Raised.of(error))
        leaves, spec = tensor_tree.flatten(value, _where(role))
        return StepResult(leaves, spec)

    def finish(self, states: Sequence[Any]) -> list[StepResult]:
        """Run the arbiter; an empty list where the scenario has none."""
        if not overrides(self.scenario, "finish"):
            return []
        try:
            value = self.scenario.finish(self.finish_argument(states))
        except BaseException as error:
            return [StepResult(raised=Raised.of(error))]
        return [StepResult(*tensor_tree.flatten(value, "finish"))]


@contextlib.contextmanager
def _untouched_generators() -> Iterator[None]:
    """Raise `BrokenScenario` where what runs within has drawn from a global generator."""
    torch_before, python_before = torch.get_rng_state(), random.getstate()
    yield
    if not torch.equal(torch_before, torch.get_rng_state()) or python_before != random.getstate():
        raise BrokenScenario(
            "make_input draws from a global generator: pass generator=generator to every random function"
        )


def fresh_copy(x: Any) -> Any:
    """Return a copy whose tensors are new and lie on the same device; other values are deep-copied."""
    if isinstance(x, torch.Tensor):
        return x.clone()
    return tensor_tree.map_tensors(torch.clone, copy.copy(x)) if _tensors(x) else copy.deepcopy(x)


def moved(x: Any, device: torch.device) -> Any:
    return tensor_tree.map_tensors(lambda tensor: tensor.to(device), x)


def exact_workload(workload: Workload) -> Workload:
    """Return the double-precision twin of a CPU workload: parameters that name a dtype are widened."""
    twin = copy.copy(workload.scenario)
    for name in twin.params:
        value = getattr(twin, name)
        if isinstance(value, torch.dtype):
            setattr(twin, name, exact_dtype(value))
    return Workload(twin, workload.plan, seed=workload.seed)


def exact_input(x: Any) -> Any:
    return tensor_tree.map_tensors(lambda tensor: tensor.to(exact_dtype(tensor.dtype)), x)


def make_exact(states: Sequence[Any]) -> None:
    to_exact(list(states))


def _tensors(value: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tensor_tree.leaves(value) if isinstance(leaf, torch.Tensor)]


def _where(function: Any) -> str:
    return str(getattr(function, "__qualname__", function))
