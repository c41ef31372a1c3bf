"""Random numbers: one generator shared by all threads, one per thread, and dropout."""

from __future__ import annotations

import threading
from typing import Any
from typing import ClassVar

import torch
import torch.nn.functional as F

from stress import Scenario

_SIGMAS = 7.0  # once in 4e11 by chance


class DefaultGenerator(Scenario):
    """All threads draw from the default generator; together they must get the sequential draws, each exactly once."""

    origin = (
        "suite row 28; pytorch#91348: the MPS generator's state is guarded by its mutex, so concurrent calls must "
        "neither share nor tear nor skip a draw",
    )
    rows: ClassVar[tuple[int, ...]] = (28,)
    params = {"kind": ["uniform", "normal"]}
    unordered: ClassVar[dict[str, str]] = {
        "hazard=WAW kind=generator *": "which thread gets which draw is left to chance: the set of all draws is judged"
    }
    iterations = 20
    kind: str

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"device": device, "draws": [], "lock": threading.Lock()}

    def step(self, state: dict[str, Any], x: None) -> torch.Tensor:
        draw = torch.rand if self.kind == "uniform" else torch.randn
        drawn = draw(64, dtype=torch.float32, device=state["device"])
        with state["lock"]:
            state["draws"].append(drawn)
        return drawn

    def finish(self, state: dict[str, Any]) -> dict[str, torch.Tensor]:
        draws = sorted(one.cpu().tolist() for one in state["draws"])
        return {"draws": torch.tensor(draws)}

    def compare(self, got: Any, expected: Any) -> bool | str:
        """Judge the draws as a set: which thread gets which draw depends on the schedule; the set does not."""
        if isinstance(got, dict):
            return self._compare_all(got["draws"], expected["draws"])
        if got.dtype != expected.dtype or got.shape != expected.shape:
            return f"a draw of shape {tuple(got.shape)} and {got.dtype}, expected {tuple(expected.shape)} {expected.dtype}"
        low, high = (0.0, 1.0) if self.kind == "uniform" else (-8.0, 8.0)
        if not bool(((got >= low) & (got <= high)).all()):
            return f"a draw outside [{low:g}, {high:g}], or NaN: {got.min():g} to {got.max():g}"
        mean, sigma = (0.5, 12**-0.5) if self.kind == "uniform" else (0.0, 1.0)
        off = abs(float(got.mean()) - mean) / (sigma / got.numel() ** 0.5)
        return off < _SIGMAS or f"the mean of {got.numel()} numbers is {off:.1f} standard errors off"

    @staticmethod
    def _compare_all(got: torch.Tensor, expected: torch.Tensor) -> bool | str:
        if torch.equal(got, expected):
            return True
        if got.shape != expected.shape:
            return f"{len(got)} draws were made, the sequential run made {len(expected)}"
        mine, right = [tuple(row) for row in got.tolist()], {tuple(row) for row in expected.tolist()}
        repeated = len(mine) - len(set(mine))
        foreign = sum(row not in right for row in mine)
        return f"of {len(mine)} draws {repeated} came twice and {foreign} are none of the sequential run's"


class GeneratorPerThread(Scenario):
    """Every thread draws from its own generator and must get what it gets alone, bit by bit."""

    origin = (
        "suite row 28: generator per thread; reproducible per thread",
        "pytorch#84288, pytorch#84516: state and seeding of MPS generators",
    )
    rows: ClassVar[tuple[int, ...]] = (28,)
    sharing: ClassVar[str] = "per-thread"
    iterations = 25

    def setup(self, device: torch.device) -> torch.Generator:
        seed = int(torch.randint(2**31, ()))
        return torch.Generator(device=device).manual_seed(seed)

    def step(self, state: torch.Generator, x: None) -> tuple[torch.Tensor, ...]:
        device = state.device
        return (
            torch.rand(40, generator=state, dtype=torch.float32, device=device),
            torch.randn(40, generator=state, dtype=torch.float32, device=device),
            torch.randint(0, 1000, (40,), generator=state, device=device),
        )

    def compare(self, got: Any, expected: Any) -> bool | str:
        """Bitwise, in place of the usual check: random numbers have no double-precision reference."""
        return all(torch.equal(one, other) for one, other in zip(got, expected, strict=True))


class SharedDropout(Scenario):
    """Every thread applies dropout to its own input; each element is kept and doubled, or zero, in fair shares."""

    origin = (
        "suite row 28: the default generator behind a module that servers forget to put into eval mode",
    )
    rows: ClassVar[tuple[int, ...]] = (28,)
    unordered: ClassVar[dict[str, str]] = {
        "hazard=WAW kind=generator *": "which thread drops which elements is left to chance: their share is judged"
    }
    iterations = 25

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.rand(32, 32, generator=generator) + 0.5

    def step(self, state: None, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, F.dropout(x, p=0.5, training=True)

    def compare(self, got: Any, expected: Any) -> bool | str:
        """Input bitwise, output element by element: which ones are dropped is chance, everything else is not."""
        x, y = got
        if not torch.equal(x, expected[0]):
            return "the input changed while it was used"
        kept = y != 0
        wrong = int((y[kept] != 2 * x[kept]).sum()) if y.shape == x.shape else x.numel()
        if wrong:
            return f"{wrong} of {x.numel()} elements are neither dropped nor doubled"
        off = abs(float(kept.sum()) - x.numel() / 2) / (x.numel() / 4) ** 0.5
        return (
            off < _SIGMAS
            or f"{int(kept.sum())} of {x.numel()} elements kept: {off:.1f} standard deviations off"
        )
