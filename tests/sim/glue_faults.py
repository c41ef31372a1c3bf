"""A program: `python -m tests.sim.glue_faults LIBRARY KEY`. What each fault of the torch glue does to values.

Runs one fault after another, each in a forked child: armed, as a twin, and armed with one thread only. Prints
how many results were wrong, by operation, as one JSON object.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from functools import partial

import torch
import torch._dynamo  # the first op of each child would import it
from torch import Tensor
from torch.nn import functional

from stress.device.sim import loading
from tests.sim.programs import print_cases

FAULTS = (
    "copy_torn",
    "scalar_buffer_reused",
    "linear_shared_scratch",
    "layer_norm_shared_statistics",
    "op_pair_order",
    "copy_source_freed",
    "generator_unlocked",
)
THREADS = 8
ITERATIONS = 40
WIDTH = 64
WINDOW_US = 2000


def projected(x: Tensor) -> Tensor:
    return x.view(4, 8, 8, 8).transpose(1, 2).contiguous()


def attention(x: Tensor) -> Tensor:
    packed = projected(x)
    return functional.scaled_dot_product_attention(packed, packed, packed)


class Work:
    """What one thread does in one iteration; keeps results and what they should be."""

    def __init__(self, index: int, device: str) -> None:
        self.index = index
        self.device = device
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(WIDTH, WIDTH, generator=generator)
        self.weight_on_device = self.weight.to(device)
        self.results: list[tuple[str, Tensor, Tensor]] = []
        self.drawn: list[Tensor] = []

    def step(self, iteration: int) -> None:
        x = torch.linspace(-1, 1, 32 * WIDTH).view(32, WIDTH) * (1 + self.index) + iteration
        given = x.clone().to(self.device, non_blocking=True)
        torch.full_like(x, -1)  # takes the memory of a source that was not kept
        self.drawn.append(torch.randint(0, 1 << 31, (4,), device=self.device))
        factor = 2 + self.index
        self.results += [
            ("sent", given, x),
            ("clone", given.clone(), x),
            ("scaled", given * factor, x * factor),
            ("linear", functional.linear(given, self.weight_on_device), functional.linear(x, self.weight)),
            ("layer_norm", functional.layer_norm(given, (WIDTH,)), functional.layer_norm(x, (WIDTH,))),
            ("projected", projected(given), projected(x)),
            ("attention", attention(given), attention(x)),
        ]

    def wrong(self) -> Counter[str]:
        close = partial(torch.allclose, rtol=1e-4, atol=1e-4, equal_nan=True)
        return Counter(name for name, got, expected in self.results if not close(got.cpu(), expected))


def run(spec: str, threads: int, device: str) -> dict[str, int]:
    """Return the number of wrong results by operation, and of random numbers drawn twice. For a child."""
    torch.set_num_threads(1)
    design = "upstream" if "generator" in spec else "fork"
    loading.ops().configure(f"design={design};seed=1;faults={spec}")
    works = [Work(index, device) for index in range(threads)]
    loading.ops().synchronize_all()
    barrier = threading.Barrier(threads)

    def crew(work: Work) -> None:
        torch.set_num_threads(1)
        barrier.wait()
        for iteration in range(ITERATIONS):
            work.step(iteration)

    crews = [threading.Thread(target=crew, args=(work,)) for work in works]
    for thread in crews:
        thread.start()
    for thread in crews:
        thread.join()
    loading.ops().synchronize_all()
    wrong: Counter[str] = Counter()
    for work in works:
        wrong.update(work.wrong())
    drawn = [tuple(one.tolist()) for work in works for one in work.drawn]
    wrong["drawn twice"] = len(drawn) - len(set(drawn))
    return {name: count for name, count in wrong.items() if count}


def cases(device: str) -> Mapping[str, Callable[[], dict[str, int]]]:
    found = {}
    for fault in FAULTS:
        spec = f"{fault}:1:{WINDOW_US}"
        found[fault] = partial(run, spec, THREADS, device)
        found[f"{fault} twin"] = partial(run, f"{spec}/twin", THREADS, device)
        found[f"{fault} alone"] = partial(run, spec, 1, device)
    return found


if __name__ == "__main__":
    print_cases(cases)
