"""Cost of one operation on a simulated device, beside the CPU and beside the prototype of `sim.md`."""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import nn

ROUNDS = 40
CALLS = 200
"""Per round: fewer than the queue holds, so that submission is not held back."""

PROTOTYPE_US: Mapping[str, tuple[float, float, float]] = {
    "add 64": (1.2, 3.4, 3.6),
    "relu 64": (1.1, 1.9, 2.8),
    "linear 32x128": (15.1, 3.6, 19.7),
    "layer_norm 32x128": (8.1, 4.7, 11.9),
    "conv2d 2x8x16x16": (49.5, 5.2, 63.5),
    "mm 512": (2728, 3.3, 3027),
    "TransformerEncoderLayer": (789, 884, 938),
}
"""CPU, submit, submit and run, in us: one thread, commit_every=4 (sim.md 2; that machine, +-30 %)."""


@dataclass(frozen=True)
class Cost:
    """What one operation cost in us in the round that was disturbed least: the machine is shared."""

    cpu_us: float
    submit_us: float
    run_us: float

    @property
    def added_us(self) -> float:
        return self.run_us - self.cpu_us


def operations(device: str) -> Iterator[tuple[str, Callable[[], object], int]]:
    """Yield (name, operation, calls per round)."""
    torch.manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape).to(device)

    small, rows, image, square = random(64), random(32, 128), random(2, 8, 16, 16), random(512, 512)
    layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.0, batch_first=True).to(device)
    linear, norm, conv = (
        one.to(device).requires_grad_(False)
        for one in (nn.Linear(128, 128), nn.LayerNorm(128), nn.Conv2d(8, 8, 3, padding=1))
    )
    tokens = random(2, 16, 64)
    yield "add 64", lambda: small + small, CALLS
    yield "relu 64", lambda: torch.relu(small), CALLS
    yield "linear 32x128", lambda: linear(rows), CALLS
    yield "layer_norm 32x128", lambda: norm(rows), CALLS
    yield "conv2d 2x8x16x16", lambda: conv(image), CALLS
    yield "mm 512", lambda: square @ square, 10
    yield "TransformerEncoderLayer", lambda: layer(tokens).sum().backward(), 10


def measured(operation: Callable[[], object], calls: int, wait: Callable[[], object]) -> tuple[float, float]:
    """Return the least of the rounds: us per call until it returned, and until it was done."""
    submit, done = [], []
    for _ in range(ROUNDS + 1):
        wait()
        started = time.perf_counter()
        for _ in range(calls):
            operation()
        submit.append(1e6 * (time.perf_counter() - started) / calls)
        wait()
        done.append(1e6 * (time.perf_counter() - started) / calls)
    return min(submit[1:]), min(done[1:])


def run_overhead(device: str, synchronize: Callable[[], object] | None = None) -> dict[str, Cost]:
    """Return the costs by operation: CPU and device interleaved, in this process's main thread.

    `synchronize` waits for the device; that of the simulated device by default.
    """
    wait = synchronize or torch.ops.mps_stress_sim.synchronize_all
    torch.set_num_threads(1)
    costs = {}
    for (name, on_cpu, calls), (_, on_device, _) in zip(operations("cpu"), operations(device), strict=True):
        _, cpu_us = measured(on_cpu, calls, lambda: None)
        submit_us, run_us = measured(on_device, calls, wait)
        costs[name] = Cost(cpu_us, submit_us, run_us)
    return costs


def table(costs: Mapping[str, Cost]) -> str:
    lines = [
        f"{'us per call':<26}{'cpu':>8}{'submit':>9}{'+run':>9}{'added':>9}   prototype: submit, +run, added"
    ]
    for name, cost in costs.items():
        cpu, submit, run = PROTOTYPE_US[name]
        lines.append(
            f"{name:<26}{cost.cpu_us:>8.1f}{cost.submit_us:>9.1f}{cost.run_us:>9.1f}{cost.added_us:>9.1f}"
            f"{submit:>14.1f}{run:>9.1f}{run - cpu:>9.1f}"
        )
    return "\n".join(lines)
