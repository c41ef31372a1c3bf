"""One server of requests: it computes, reads the answer back, and compares it with the sequential run's. Child side."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import torch

from stress.child import tensor_tree
from stress.child.oracle import store
from stress.child.oracle.judge import Judge
from stress.child.oracle.reference import Reference
from stress.child.oracle.reference import fingerprint
from stress.child.tasks import workload_of
from stress.child.workload import Raised
from stress.child.workload import StepResult
from stress.commands.throughput.catalogue import INPUTS_EACH
from stress.device.devices import open_device
from stress.model.errors import BrokenScenario
from stress.model.finding import Finding
from stress.model.spec import ChildSpec

FINDINGS_MAX = 3
"""Wrong answers reported per lane; the others are counted."""


class Model:
    """What all lanes of a process share: the module and inputs on the device, and the expected answers."""

    def __init__(self, spec: ChildSpec) -> None:
        self.workload = workload_of(spec)
        device = open_device(spec.device).torch_device
        states = self.workload.make_states(device)
        inputs = self.workload.make_inputs()
        self.reference = Reference.from_data(store.load(Path(spec.references[0])))
        if fingerprint(states, inputs) != self.reference.fingerprint:
            raise BrokenScenario("the workload differs from that of its reference, in spite of one seed")
        self._state = states[0]
        self._inputs = [x.to(device) for x in inputs]

    def answer(self, indices: Sequence[int]) -> torch.Tensor:
        """Serve the requests with these numbers as one batch; return the answers on the host."""
        parts = [self._inputs[index] for index in indices]
        x = parts[0] if len(parts) == 1 else torch.cat(parts)
        y: torch.Tensor = self.workload.scenario.step(self._state, x)
        # Not a synchronisation of the device: that would wait for the other threads' work as well.
        return y.cpu()


@dataclass
class LaneTally:
    """What one lane did within the window. Times are in seconds."""

    requests: int = 0
    busy_s: float = 0.0
    """From the window's start to the end of the last request, so that a request that ends late costs its time."""
    checking_s: float = 0.0
    wrong: int = 0
    latencies_s: list[float] = field(default_factory=list)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def to_data(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> LaneTally:
        return cls(**data)


class Lane:
    """Serves one request after another, or one batch after another."""

    def __init__(self, model: Model, number: int, batch: int) -> None:
        self._model = model
        self._turns = [
            [(number + one) * INPUTS_EACH + turn for one in range(batch)] for turn in range(INPUTS_EACH)
        ]
        self._number = number
        # Whole answers that were found right, by turn: one comparison each, since it takes time from the requests.
        self._right = [
            [torch.cat([model.reference.full[index].variants[0][0] for index in turn])]
            for turn in self._turns
        ]
        self.tally = LaneTally()

    def warm_up(self, seconds: float) -> None:
        """Serve every input once, and go on for this long; what is wrong here counts."""
        end = time.perf_counter() + seconds
        self._serve(lambda done: done >= len(self._turns) and time.perf_counter() >= end)
        self.tally = LaneTally(wrong=self.tally.wrong, findings=self.tally.findings)

    def measure(self, seconds: float) -> None:
        """Serve for this long, from now."""
        start = time.perf_counter()
        end = start + seconds
        self._serve(lambda _: time.perf_counter() >= end)
        self.tally.busy_s = time.perf_counter() - start

    def _serve(self, is_over: Callable[[int], bool]) -> None:
        tally, done = self.tally, 0
        try:
            while not is_over(done):
                turn = done % len(self._turns)
                indices = self._turns[turn]
                start = time.perf_counter()
                y = self._model.answer(indices)
                end = time.perf_counter()
                if not any(torch.equal(y, right) for right in self._right[turn]):
                    self._examine(turn, y)
                tally.checking_s += time.perf_counter() - end
                tally.latencies_s.append(end - start)
                tally.requests += len(indices)
                done += 1
        except Exception as error:
            found = Raised.of(error).finding()
            found.thread = self._number
            self._add(found)

    def _examine(self, turn: int, y: torch.Tensor) -> None:
        """Judge an answer with other bits than expected, request by request: near enough, it is right from now on.

        A batch may take another kernel than a single request.
        """
        indices = self._turns[turn]
        found = [
            finding
            for index, part in zip(indices, y.chunk(len(indices)), strict=True)
            for finding in self._judged(index, part)
        ]
        for finding in found:
            self._add(finding)
        if not found:
            self._right[turn].append(y.clone())

    def _judged(self, index: int, part: torch.Tensor) -> list[Finding]:
        model = self._model
        judge = Judge(
            model.workload.scenario,
            model.workload.plan,
            [model.reference.full],
            varies_alone=model.reference.varies_alone,
        )
        outcome = StepResult(*tensor_tree.flatten(part, "the workload"))
        judge.judge_one(index, outcome, model.workload.plan.slots[index])
        return judge.result.findings

    def _add(self, finding: Finding) -> None:
        self.tally.wrong += 1
        if len(self.tally.findings) < FINDINGS_MAX:
            self.tally.findings.append(finding.to_data())
