"""Programs that show bugs of a tree's own operators; `operator_runs` starts one for each run, in the tree's core.

    python -m benchmarks.real_bugs.operator_cases --library=FILE --case=NAME --threads=8 --iterations=100 --seed=1

It tells of itself as the native cases do, one JSON object a line, so their judge reads it: a wrong value is a violation, and a
crash, a hang or a race is seen from outside. Values are compared with torch's CPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import sys
import threading
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

import torch
import torch.nn.functional as F

from stress.device.core import loading
from stress.model.spec import ChildSpec
from stress.model.spec import CoreSpec

DEVICE = "mps"
VIOLATED = 1


@dataclass
class Run:
    """One run of a case."""

    threads: int
    iterations: int
    """Of each thread."""
    seed: int
    operations: int = 0
    violations: list[str] = field(default_factory=list)

    def from_threads(self, work: Callable[[int, random.Random], None]) -> None:
        """Call `work` with the number of the thread and its own numbers, in each thread, from a common start."""
        start = threading.Barrier(self.threads)

        def body(number: int) -> None:
            start.wait()
            work(number, random.Random(self.seed * 1000 + number))

        threads = [threading.Thread(target=body, args=(number,)) for number in range(self.threads)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        self.operations += self.threads * self.iterations

    def compare(self, what: str, got: torch.Tensor, expected: torch.Tensor) -> None:
        """Note a violation where the device's values are not the CPU's."""
        self.operations += 1
        if not torch.allclose(got.cpu(), expected, rtol=1e-4, atol=0, equal_nan=True):
            said = {
                "kind": "violation",
                "invariant": "value",
                "text": f"{what}: {got.cpu()} instead of {expected}",
            }
            self.violations.append(json.dumps(said))


def cold_libraries(run: Run) -> None:
    """All threads come to one operator after another whose Metal library nobody has used."""
    given = torch.rand(8, 8)
    floats = [given.to(DEVICE, type_) for type_ in (torch.float32, torch.float16, torch.bfloat16)]
    whole = [
        torch.arange(8).to(DEVICE, type_) for type_ in (torch.int64, torch.int32, torch.int16, torch.int8)
    ]
    of_floats = (torch.exp, torch.tanh, torch.erfinv, torch.lgamma, torch.digamma)
    of_whole = (torch.bitwise_and, torch.bitwise_or, torch.bitwise_xor)

    def work(number: int, lots: random.Random) -> None:
        for one, values in itertools.product(of_floats, floats):
            one(values)
        for other, values in itertools.product(of_whole, whole):
            other(values, 3)

    run.from_threads(work)


def renorm(run: Run) -> None:
    """Renorm from some threads, while others end the stream's encoder."""
    weights = torch.rand(4, 4, device=DEVICE)

    def work(number: int, lots: random.Random) -> None:
        mine = torch.rand(4, 4, device=DEVICE)
        for _ in range(run.iterations):
            if number % 2:
                torch.renorm(weights, 2, 0, 1.0)
            else:
                mine.clone()  # A copy by a blit encoder: the compute encoder is ended first.

    run.from_threads(work)


def clamp_twice(run: Run) -> None:
    """Clamp by two numbers of which the first six decimals are alike."""
    given = torch.zeros(3)
    for limit in (0.0, 1e-7, 3e-7):
        run.compare(f"clamp(min={limit})", given.to(DEVICE).clamp(min=limit), given.clamp(min=limit))


def leaky_relu_twice(run: Run) -> None:
    """A slope, then another of which the first six decimals are alike."""
    given = torch.full((3,), -1.0)
    for slope in (1e-7, 3e-7):
        got = F.leaky_relu(given.to(DEVICE), slope)
        run.compare(f"leaky_relu({slope})", got, F.leaky_relu(given, slope))


def leaky_relu_steep(run: Run) -> None:
    """A slope above 1, of which the larger of two values is not the right one."""
    given = torch.tensor([-1.0, 0.0, 1.0])
    run.compare("leaky_relu(2.0)", F.leaky_relu(given.to(DEVICE), 2.0), F.leaky_relu(given, 2.0))


def addmm_twice(run: Run) -> None:
    """A product added with a weight, then with another of which the first six decimals are alike."""
    zeros, ones = torch.zeros(2, 2), torch.ones(2, 2)
    there = zeros.to(DEVICE), ones.to(DEVICE)
    for alpha in (1e-7, 3e-7):
        got = torch.addmm(there[0], there[1], there[1], alpha=alpha)
        run.compare(f"addmm(alpha={alpha})", got, torch.addmm(zeros, ones, ones, alpha=alpha))


def uniform_twice(run: Run) -> None:
    """Random numbers below a limit, then below another of which the first six decimals are alike."""
    for limit in (4e-7, 1e-7):
        drawn = torch.empty(1000, device=DEVICE).uniform_(0, limit).cpu()
        run.compare(f"uniform_(0, {limit}) below its limit", (drawn <= limit).all(), torch.tensor(True))


def repeats_of_a_slice(run: Run) -> None:
    """How often each is repeated is a view that does not begin where its memory does."""
    counts = torch.tensor([5, 1, 2])
    got = torch.arange(2, device=DEVICE).repeat_interleave(counts.to(DEVICE)[1:], dim=0)
    run.compare("repeat_interleave", got, torch.arange(2).repeat_interleave(counts[1:], dim=0))


def lgamma_of_a_transposed(run: Run) -> None:
    """Values that do not lie in the order of their places, and a result that does."""
    given = torch.arange(1.0, 7.0).reshape(2, 3).t()
    got = torch.empty(3, 2, device=DEVICE)
    torch.lgamma(_transposed(given), out=got)
    run.compare("lgamma", got, torch.lgamma(given))


def norms_of_a_constant(run: Run) -> None:
    """Parameters' gradients of norms whose input needs none, in memory that was used before."""
    norms = {
        "layer_norm": lambda x, weight, bias: F.layer_norm(x, (3,), weight, bias),
        "batch_norm": lambda x, weight, bias: F.batch_norm(x, None, None, weight, bias, training=True),
    }
    given, ones = torch.rand(4, 3), torch.ones(3)
    for name, norm in norms.items():
        expected = _gradients(norm, given, ones)
        used = [torch.full((3,), 777.0, device=DEVICE) for _ in range(8)]
        torch.mps.synchronize()
        del used
        found = _gradients(norm, given.to(DEVICE), ones.to(DEVICE))
        for of, got, right in zip(("weight", "bias"), found, expected, strict=True):
            run.compare(f"{name}'s gradient of the {of}", got, right)


def products_of_conjugates(run: Run) -> None:
    """Products of complex numbers of which one side is the conjugate of a tensor, not resolved."""
    one, pair, row = (torch.arange(float(size)) + 1j for size in (4, 8, 3))
    squares, batch = one.reshape(2, 2), pair.reshape(2, 2, 2)
    products: dict[str, tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor]] = {
        "mm": (lambda x: x.conj() @ x, squares),
        "addmm": (lambda x: torch.addmm(x.conj(), x, x.mH), squares),
        "bmm": (lambda x: torch.bmm(x, x.mH), batch),
        "baddbmm": (lambda x: torch.baddbmm(x, x.conj(), x), batch),
        "dot": (lambda x: torch.dot(x.conj(), x), row),
    }
    for name, (product, given) in products.items():
        run.compare(f"{name} of a conjugate", product(given.to(DEVICE)), product(given))


def complex_exp_in_place(run: Run) -> None:
    """The exponential of complex numbers in place of them."""
    given = torch.tensor([1 + 1j, -1 + 2j])
    run.compare("exp_ of complex numbers", given.to(DEVICE).exp_(), given.exp())


def _gradients(
    norm: Callable[..., torch.Tensor], x: torch.Tensor, ones: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    weight, bias = ones.clone().requires_grad_(), ones.clone().requires_grad_()
    return torch.autograd.grad((norm(x, weight, bias) * x).sum(), [weight, bias])


def _transposed(given: torch.Tensor) -> torch.Tensor:
    """Return it on the device with the same strides."""
    return given.t().contiguous().to(DEVICE).t()


CASES: dict[str, Callable[[Run], None]] = {
    "cold_libraries": cold_libraries,
    "renorm": renorm,
    "clamp_twice": clamp_twice,
    "leaky_relu_twice": leaky_relu_twice,
    "leaky_relu_steep": leaky_relu_steep,
    "addmm_twice": addmm_twice,
    "uniform_twice": uniform_twice,
    "repeats_of_a_slice": repeats_of_a_slice,
    "lgamma_of_a_transposed": lgamma_of_a_transposed,
    "norms_of_a_constant": norms_of_a_constant,
    "products_of_conjugates": products_of_conjugates,
    "complex_exp_in_place": complex_exp_in_place,
}


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--library", metavar="FILE", required=True, help="the core's library for Python")
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--iterations", type=int, default=100, help="of each thread")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tsan", action="store_true", help="the library is instrumented")
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    sys.setswitchinterval(1e-5)  # Threads take turns between two calls.
    loading.prepare(ChildSpec("probe", device="core", seed=args.seed), CoreSpec(args.library))
    run = Run(args.threads, args.iterations, args.seed)
    told = {"case": args.case, "threads": args.threads, "iterations": args.iterations, "tsan": args.tsan}
    print(json.dumps({"kind": "start", "platform": "core", **told}), flush=True)
    CASES[args.case](run)
    torch.mps.synchronize()
    for one in run.violations:
        print(one)
    end = {"kind": "end", "operations": run.operations, "violations": len(run.violations)}
    print(json.dumps(end), flush=True)
    return VIOLATED if run.violations else 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # As a child of a run does: threads of torch's may still be at work.
