"""The reference of one item: the values of the sequential runs, how much they vary, how exact they are.

Made in a separate child process. Made first in the crew's process, it would warm the caches that the
crew must find cold (0 of 60 cold races found, against 49 of 60); made after the crew, it would trust a
process that the crew may have corrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from typing import Any

import torch

from stress.child import tensor_tree
from stress.child.oracle import cannot_fail
from stress.child.oracle.cannot_fail import DeviceWork
from stress.child.oracle.digest import Weights
from stress.child.oracle.digest import digests
from stress.child.oracle.digest import elements
from stress.child.oracle.digest import ramps
from stress.child.oracle.expectation import Expected
from stress.child.oracle.expectation import expectations
from stress.child.oracle.expectation import role_of
from stress.child.oracle.expectation import same_outcome
from stress.child.oracle.expectation import same_run
from stress.child.oracle.sequential import Run
from stress.child.oracle.sequential import run_author_reference
from stress.child.oracle.sequential import run_sequence
from stress.child.oracle.tolerance import SPREAD_FACTOR
from stress.child.oracle.tolerance import errors_of
from stress.child.oracle.tolerance import is_numeric
from stress.child.oracle.tolerance import too_wide
from stress.child.shared_writes import SharedWrites
from stress.child.state import state_tensors
from stress.child.workload import Workload
from stress.child.workload import exact_input
from stress.device.devices import Device
from stress.model.errors import BrokenScenario
from stress.model.finding import Finding
from stress.model.plan import ORDERS
from stress.scenario.scenario import overrides

REPEATS_WHEN_VARYING = 8


@dataclass
class Reference:
    """All expectations of an item: one per slot, then the arbiter's."""

    full: list[Expected]
    digests: list[Expected]
    varies_alone: bool = False
    """Two runs in the same order differed."""
    no_exact: str = ""
    """Why the values were compared without a double-precision reference; empty if there is one."""
    wrong_alone: str = ""
    """Where, and by how much, the sequential run itself exceeds the CPU's error budget; empty if it does not."""
    not_repeatable: str = ""
    """Where the sequential run varies by more than the CPU's error budget, so that it predicts nothing."""
    fingerprint: str = ""
    elements_max: int = 0
    operators: list[str] = field(default_factory=list)
    """Names of the operators that a sequential run dispatched, for `stress.child.perturb.dispatch_cache`."""
    output_bytes: list[int] = field(default_factory=list)
    """Distinct sizes of output leaves, largest first, at most eight."""
    runs: int = 0

    def to_data(self) -> dict[str, Any]:
        scalars = {name: value for name, value in vars(self).items() if name not in ("full", "digests")}
        return {
            **scalars,
            "full": [one.to_data() for one in self.full],
            "digests": [one.to_data() for one in self.digests],
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Reference:
        full = [Expected.from_data(one) for one in data["full"]]
        digests = [Expected.from_data(one) for one in data["digests"]]
        return cls(**{**data, "full": full, "digests": digests})


def fingerprint(states: Sequence[Any], inputs: Sequence[Any]) -> str:
    """Hash the first state and the first and last inputs: both child processes must have made the same."""
    state = hashlib.blake2b(digest_size=16)
    tensors = [tensor for _, tensor in state_tensors(states[0])]
    tensors += [
        leaf
        for x in (inputs[0], inputs[-1])
        for leaf in tensor_tree.leaves(x)
        if isinstance(leaf, torch.Tensor)
    ]
    for tensor in tensors:
        state.update(bytes(str((tensor.dtype, tuple(tensor.shape))), "ascii"))
        state.update(tensor_tree.raw_bytes(tensor.detach().cpu()))
    return state.hexdigest()


class ReferenceMaker:
    """Makes the runs of one item and reduces them to a `Reference`."""

    def __init__(
        self,
        workload: Workload,
        device: Device,
        *,
        device_only: bool = False,
        watch: SharedWrites | None = None,
        lap: Callable[[str], object] = lambda _: None,
    ) -> None:
        """`lap` is called with the name of each part, when it is over."""
        self.workload = workload
        self._lap = lap
        self.watch = watch
        self.device_only = device_only
        self.device = device
        self.inputs = workload.make_inputs()
        self.by_author = overrides(workload.scenario, "reference")
        self.operators: list[str] = []
        self.cannot_fail: Finding | None = None
        """Known after `make`."""

    def make(self) -> Reference:
        """Run every sequential order; the returned reference holds CPU tensors only."""
        states = self.workload.make_states(self.device.torch_device)
        self.workload.check_states(states)
        reference = Reference([], [], fingerprint=fingerprint(states, self.inputs))
        del states
        self._lap("prepare_s")
        runs, reference.varies_alone = self._device_runs()
        reference.runs = len(runs)
        reference.operators = self.operators
        _check_structures(self.workload, runs[0])
        self._lap("orders_s")
        cpu, exact = self._cpu_runs(runs[0], reference)
        self._lap("cpu_s")
        reference.elements_max = max(
            (elements(leaf) for run in [*runs, cpu, exact] for one in run for leaf in one.leaves), default=0
        )
        sizes = {leaf.numel() * leaf.element_size() for one in runs[0] for leaf in one.leaves}
        reference.output_bytes = sorted(sizes - {0}, reverse=True)[:8]
        weights = ramps(reference.elements_max, self.device.torch_device)
        reference.full = expectations(self.workload, runs, cpu, exact)
        self._lap("expect_s")
        digest_runs = _digest_runs(runs, weights)
        self._lap("digest_s")
        reference.digests = expectations(
            self.workload,
            digest_runs,
            cpu and digest_run(cpu, weights),
            exact and digest_run(exact, weights),
            outputs=runs[0],
        )
        _check_alone(self.workload, reference)
        self._lap("judge_s")
        return reference

    def _device_runs(self) -> tuple[list[Run], bool]:
        # Only the first run of all is watched: what is filled once in a process is filled there.
        runs = [self._device_run(ORDERS[0], self.watch)]
        self._lap("watched_s")
        with DeviceWork(self.device.torch_device) as work:
            runs.append(self._device_run(ORDERS[0]))
        self._lap("recorded_s")
        self.operators = sorted(work.names)
        self.cannot_fail = cannot_fail.why(self.workload, self.inputs, runs[0], work)
        varies = not same_run(*runs)
        if varies:
            runs += [self._device_run(ORDERS[0]) for _ in range(REPEATS_WHEN_VARYING - 2)]
        orders = () if self.by_author else ORDERS[1:]
        return runs + [self._device_run(order) for order in orders], varies

    def _device_run(self, order: str, watch: SharedWrites | None = None) -> Run:
        device = self.device.torch_device
        if self.by_author:
            return run_author_reference(self.workload, device, self.inputs)
        synchronize = self.device.synchronize
        return run_sequence(self.workload, device, self.inputs, order, synchronize=synchronize, watch=watch)

    def _cpu_runs(self, device_run: Run, reference: Reference) -> tuple[Run, Run]:
        """Return the runs on the CPU, in the item's dtype and in double precision; empty where one is missing."""
        if overrides(self.workload.scenario, "compare"):
            reference.no_exact = (
                "no double-precision reference: the scenario's own compare() judges the values"
            )
            return [], []
        if self.device_only:
            return [], []
        cpu_device = torch.device("cpu")
        cpu = device_run
        if self.device.type != "cpu":
            cpu = self._cpu_run(cpu_device, exact=False)
            elsewhere = next((home for one in cpu for home in one.homes if home != "cpu"), None)
            if elsewhere is not None:
                raise BrokenScenario(
                    f"step was called with tensors on cpu and returned one on {elsewhere}: use the device of x and of the state"
                )
        try:
            exact = self._cpu_run(cpu_device, exact=True)
        except Exception as error:  # a `reference` or `finish` that cannot take double precision
            reference.no_exact = f"compared in the item's precision only: it does not run in double precision (harmless): {type(error).__name__}: {error}"
            return cpu, []
        failed = [(a, b) for a, b in zip(cpu, exact, strict=True) if (b.raised is None) != (a.raised is None)]
        if failed:
            reference.no_exact = f"compared in the item's precision only: in double precision it ends differently (harmless): {failed[0][1].raised or 'no exception'}"
            return cpu, []
        raised = next((one.raised for one in cpu if one.raised is not None), None)
        if raised is not None and not any(one.raised for one in device_run):
            reference.no_exact = f"compared with the device's own sequential run only: on the CPU, {raised}"
        return cpu, exact

    def _cpu_run(self, cpu_device: torch.device, *, exact: bool) -> Run:
        inputs = [exact_input(x) for x in self.inputs] if exact else self.inputs
        if self.by_author:
            return run_author_reference(self.workload, cpu_device, inputs, exact=exact)
        return run_sequence(self.workload, cpu_device, inputs, ORDERS[0], exact=exact)


def _check_structures(workload: Workload, run: Run) -> None:
    """Require one structure per role: otherwise a thread's value has no counterpart to be compared with."""
    first: dict[int, tuple[str, str]] = {}
    for index, outcome in enumerate(run):
        if outcome.raised is None:
            role = role_of(workload, index)
            known, where = first.setdefault(
                role, (tensor_tree.describe(outcome.spec), _name(workload, index))
            )
            if known != tensor_tree.describe(outcome.spec):
                raise BrokenScenario(
                    f"{_name(workload, index)} returns the structure {tensor_tree.describe(outcome.spec)}, "
                    f"{where} returned {known}: "
                    "return one structure from every iteration, or write a step function per role in steps()"
                )


def _digest_runs(runs: Sequence[Run], weights: Weights) -> list[Run]:
    """Take the digests of all runs, once of each distinct outcome of a slot: they follow from its bits."""
    made: list[Run] = []
    for number, run in enumerate(runs):
        known = [
            next((old for old in range(number) if same_outcome(runs[old][slot], one)), None)
            for slot, one in enumerate(run)
        ]
        new = iter(digest_run([one for one, old in zip(run, known, strict=True) if old is None], weights))
        made.append([next(new) if old is None else made[old][slot] for slot, old in enumerate(known)])
    return made


def digest_run(run: Run, weights: Weights) -> Run:
    """Take the digests where the crew takes them: on the device that each output was on."""
    return [
        replace(
            one,
            leaves=[
                leaf.cpu()
                for leaf in digests(
                    [leaf.to(home) for leaf, home in zip(one.leaves, one.homes, strict=True)],
                    one.spec.values if one.spec is not None else (),
                    weights,
                )
            ],
        )
        for one in run
    ]


def _check_alone(workload: Workload, reference: Reference) -> None:
    """Judge the sequential runs alone: against the exact values, and against each other."""
    judged = [
        (index, place, one, exact)
        for index, one in enumerate(reference.full)
        for place, exact in enumerate(one.exact)
        if one.variants and not one.is_value(place)
    ]
    pairs = [(one.variants[0][place], exact) for _, place, one, exact in judged]
    comparable = [(a, b) for a, b in pairs if a.shape == b.shape and is_numeric(a.dtype)]
    errors = iter(errors_of([one for one, _ in comparable], [one for _, one in comparable]))
    for (index, place, one, exact), (first, _) in zip(judged, pairs, strict=True):
        where = f"{_name(workload, index)}, output {place}"
        if first.shape != exact.shape:
            reference.wrong_alone = reference.wrong_alone or (
                f"{where} has shape {tuple(first.shape)}, on the CPU {tuple(exact.shape)}"
            )
            continue
        error = next(errors) if is_numeric(first.dtype) else float(not torch.equal(first, exact))
        if error > one.allowed[place]:
            reference.wrong_alone = reference.wrong_alone or (
                f"{where} is off by {error:.3g} from the exact value, {one.allowed[place]:.3g} allowed "
                "(a stated multiple of the CPU's own error)"
            )
        if reference.varies_alone and len(one.variants) > 1:
            _check_repeatable(reference, where, one, place)


def _check_repeatable(reference: Reference, where: str, one: Expected, place: int) -> None:
    spread, allowed = one.spread[place], one.allowed[place]
    tolerance = SPREAD_FACTOR * spread
    if spread > allowed or too_wide(tolerance, one.scale[place], half=one.half[place]):
        reference.not_repeatable = reference.not_repeatable or (
            f"{where}: one thread alone gives values {spread:.3g} apart, {allowed:.3g} allowed"
        )


def _name(workload: Workload, index: int) -> str:
    slots = workload.plan.slots
    return str(slots[index]) if index < len(slots) else "finish"
