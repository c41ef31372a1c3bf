"""Singular value decompositions: torch's own, or a library's in its place (--mps-operator=linalg.svd=mypkg:svd).

Judged by what makes a decomposition right, whoever computes it: the product is the matrix, the factors are orthonormal,
the values are sorted and not negative, and the gradient is that of the formula. Signs and phases are free.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario

_ORIGIN = (
    "dropbox/dML: libraries patch torch.linalg.svd with their own Metal kernels, and their users run it from threads",
    "pytorch#195163, pytorch#90613: linear algebra wrong, or its library's loading racy, from several threads",
)
_ROUNDINGS = 64.0
_ROUNDINGS_HALF = 2.0
"""Errors allowed, in roundings times the root of the longer side and relative to the largest singular value. LAPACK
stays within one or two, the Jacobi method of CUDA's solver within 47 (an H200, one thread, 129 columns); half precision,
whose factors are rounded once, gets less, since 16 of its roundings are 0.1."""
_GRADIENT_FACTOR = 8.0
_CLEAR = ("converge", "finite", "nan", "inf")

Kind = tuple[tuple[int, ...], Callable[[torch.Tensor], torch.Tensor]]
KINDS: dict[str, Kind] = {
    "odd": ((1, 129, 129), lambda x: x[0]),
    "wide": ((1, 9, 65), lambda x: x[0]),
    "tall": ((1, 65, 9), lambda x: x[0]),
    "batched": ((5, 7, 12), lambda x: x),
    "transposed": ((1, 24, 17), lambda x: x[0].t()),
    "stepped": ((1, 40, 34), lambda x: x[0, ::2, ::2]),
    "vector": ((1, 1, 33), lambda x: x[0]),
}


class SvdShapes(Scenario):
    """Every thread decomposes odd, wide, tall, batched and non-contiguous matrices; a dtype is refused, or right."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (15,)
    params = {"dtype": [torch.float32, torch.complex64, torch.float16, torch.bfloat16]}
    iterations = 8
    dtype: torch.dtype

    def setup(self, device: torch.device) -> None:
        _load_library(device)

    def make_input(self, generator: torch.Generator) -> dict[str, Any]:
        kind = list(KINDS)[int(torch.randint(len(KINDS), (), generator=generator))]
        wide = torch.complex64 if self.dtype.is_complex else torch.float32
        return {
            "kind": kind,
            "x": torch.randn(KINDS[kind][0], generator=generator, dtype=wide).to(self.dtype),
        }

    def step(self, state: None, x: dict[str, Any]) -> dict[str, Any]:
        matrix = KINDS[x["kind"]][1](x["x"])
        try:
            u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
            s.cpu()  # where the device is asynchronous, so are its errors
        except RuntimeError as error:
            if self.dtype not in (torch.float16, torch.bfloat16) or not str(error).strip():
                raise
            return {"matrix": matrix, "refused": True}  # LAPACK knows no half precision
        return {"matrix": matrix, "u": u, "s": s, "vh": vh}

    def compare(self, got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool | str:
        if not torch.equal(got["matrix"], expected["matrix"]):
            return "the matrix itself was changed"
        if "refused" in got:
            return bool(got["refused"])
        return _decomposes(got["matrix"], got["u"], got["s"], got["vh"])


class SvdFullMatrices(Scenario):
    """Every thread asks for full matrices and for the values alone, which another kernel may compute."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (15,)
    iterations = 8

    def setup(self, device: torch.device) -> None:
        _load_library(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(3, 11, 17, generator=generator)

    def step(self, state: None, x: torch.Tensor) -> dict[str, torch.Tensor]:
        u, s, vh = torch.linalg.svd(x)
        return {"matrix": x, "u": u, "s": s, "vh": vh, "values": torch.linalg.svdvals(x)}

    def compare(self, got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool | str:
        if not torch.equal(got["matrix"], expected["matrix"]):
            return "the matrix itself was changed"
        told = _decomposes(got["matrix"], got["u"], got["s"], got["vh"])
        if told is not True:
            return told
        allowed = _allowed(got["matrix"]) * float(got["s"].max())
        if not _error(got["values"], got["s"]) <= allowed:  # also for nan
            return "the values alone differ from those of the whole decomposition"
        return True


class SvdBackward(Scenario):
    """Every thread differentiates through a decomposition, by a function that no sign or phase changes."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (15, 27)
    params = {"dtype": [torch.float32, torch.complex64]}
    iterations = 8
    dtype: torch.dtype

    def setup(self, device: torch.device) -> None:
        _load_library(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        # Values far apart: the derivative of the factors is divided by their distances.
        noise = torch.randn(10, 13, generator=generator, dtype=self.dtype)
        return noise / 10 + torch.eye(10, 13) * torch.arange(1, 11).unsqueeze(1)

    def step(self, state: None, x: torch.Tensor) -> dict[str, torch.Tensor]:
        matrix = x.detach().clone().requires_grad_()
        with torch.enable_grad():
            u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
            # The second term is the matrix again, by way of both factors: its derivative is known.
            loss = (s * _weights(s)).sum() + ((u * s) @ vh).real.sum()
            (gradient,) = torch.autograd.grad(loss, matrix)
        return {
            "matrix": x,
            "u": u.detach(),
            "s": s.detach(),
            "vh": vh.detach(),
            "gradient": gradient,
        }

    def compare(self, got: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool | str:
        if not torch.equal(got["matrix"], expected["matrix"]):
            return "the matrix itself was changed"
        told = _decomposes(got["matrix"], got["u"], got["s"], got["vh"])
        if told is not True:
            return told
        u, vh = _exact(got["u"]), _exact(got["vh"])
        right = (u * _weights(got["s"].double())) @ vh + 1.0
        error = _error(got["gradient"], right)
        allowed = _GRADIENT_FACTOR * _allowed(got["matrix"]) * float(right.abs().max())
        if not error <= allowed:  # also for nan
            return f"the gradient is {error:.3g} from the right one, {allowed:.3g} allowed"
        return True


class SvdOfBadInput(Scenario):
    """Half of the threads decompose matrices with NaN or infinity, which must be reported; all others stay right."""

    origin = (*_ORIGIN, "suite.md, row 15: NaN input gets a clear error")
    rows: ClassVar[tuple[int, ...]] = (15, 20)
    threads_min = 2
    iterations = 8

    def setup(self, device: torch.device) -> None:
        _load_library(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(12, 9, generator=generator)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.good, self.bad)

    def good(self, state: None, x: torch.Tensor) -> dict[str, Any]:
        u, s, vh = torch.linalg.svd(x, full_matrices=False)
        return {"matrix": x, "u": u, "s": s, "vh": vh}

    def bad(self, state: None, x: torch.Tensor) -> dict[str, Any]:
        """Expect two reports, and then a right answer."""
        hidden = {value: _is_hidden(x, float(value)) for value in ("nan", "inf")}
        return {**self.good(state, x), "hidden": hidden}

    def compare(self, got: dict[str, Any], expected: dict[str, Any]) -> bool | str:
        if not torch.equal(got["matrix"], expected["matrix"]):
            return "the matrix itself was changed"
        for value, is_hidden in got.get("hidden", {}).items():
            if bool(is_hidden):
                return f"a matrix with {value} in it was decomposed into numbers, or refused without naming the cause"
        return _decomposes(got["matrix"], got["u"], got["s"], got["vh"])


def _is_hidden(x: torch.Tensor, value: float) -> bool:
    """Whether nothing shows the caller that one element of the matrix is `value`.

    An error that names the cause shows it, and so does any singular value that is NaN: torch's own CPU kernel answers
    infinity with NaN alone (seen with 2.13), and CUDA's Jacobi kernel for up to 32 rows and columns gives no error and may
    put right-looking numbers before the NaN: 3.3, 3.2, then NaN (an H200 with 2.11, one thread, the same each time).
    """
    spoiled = x.clone()
    spoiled[1, 2] = value
    try:
        values = torch.linalg.svd(spoiled, full_matrices=False)[1].cpu()
    except (RuntimeError, ValueError) as error:
        return not any(word in str(error).lower() for word in _CLEAR)
    return not bool(values.isnan().any())


def _decomposes(matrix: torch.Tensor, u: torch.Tensor, s: torch.Tensor, vh: torch.Tensor) -> bool | str:
    """Return true where the factors are a decomposition of the matrix; else what is wrong with them."""
    x, left, right = _exact(matrix), _exact(u), _exact(vh)
    values = s.double()
    if not bool((values[..., :-1] >= values[..., 1:]).all() & (values >= 0).all()):  # also for nan
        return "the singular values are not sorted, or negative, or no numbers"
    k = values.shape[-1]
    product = (left[..., :k] * values.unsqueeze(-2)) @ right[..., :k, :]
    allowed = _allowed(matrix)
    for what, error in (
        ("the product of the factors and the matrix", _error(product, x) / float(values.max())),
        ("the left factor's columns and orthonormal ones", _off_identity(left.mH @ left)),
        ("the right factor's rows and orthonormal ones", _off_identity(right @ right.mH)),
    ):
        if not error <= allowed:
            return f"{what} are {error:.3g} apart, {allowed:.3g} allowed"
    return True


def _allowed(matrix: torch.Tensor) -> float:
    """Return the relative error that is allowed: see `_ROUNDINGS`."""
    roundings = _ROUNDINGS_HALF if matrix.dtype.itemsize == 2 else _ROUNDINGS
    return roundings * torch.finfo(matrix.dtype).eps * max(matrix.shape[-2:]) ** 0.5


def _off_identity(product: torch.Tensor) -> float:
    return _error(product, torch.eye(product.shape[-1], dtype=product.dtype).expand_as(product))


def _error(got: torch.Tensor, right: torch.Tensor) -> float:
    return float((_exact(got) - _exact(right)).abs().max())


def _exact(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def _weights(s: torch.Tensor) -> torch.Tensor:
    return torch.arange(1, s.shape[-1] + 1, device=s.device, dtype=s.dtype) / 4


def _load_library(device: torch.device) -> None:
    """Load CUDA's linear algebra, which threads must not do at once (pytorch#90613): see `LinalgColdStart`."""
    if device.type == "cuda":
        torch.linalg.inv(torch.eye(2).to(device))
