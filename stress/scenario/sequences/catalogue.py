"""The operators that sequences are made of, as lines of plain torch code. Imports no torch.

Every line takes any floating `x` of at least two dimensions, none longer than 64, and leaves such an `x`: so that any
sequence is valid, and stays so when operators are left out of it. `w` (64 x 64) and `b` (64) are what the threads share.
All are continuous in `x`, or a rounding would be a wrong value somewhere later; none draws random numbers, and none
makes everything zero, after which nothing could be wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

EXTENT_MAX = 64


@dataclass(frozen=True)
class Template:
    """One operator; `{n}` in its code is a number of `numbers`, if it has any."""

    code: tuple[str, ...]
    numbers: tuple[int, ...] = ()
    weight: int = 1
    """How often it is drawn: readers and copies that had known bugs more often than others."""


def _one(code: str, *numbers: int, weight: int = 1) -> Template:
    return Template((code,), numbers, weight)


SIZES = (5, 8, 16, 24, 33, 64)
SCALARS = (2, 3, 5, 7)

TEMPLATES: Mapping[str, Template] = {
    # views and copies
    "transpose": _one("x = x.transpose(-1, -2)", weight=2),
    "contiguous": _one("x = x.transpose(-1, -2).contiguous()", weight=3),
    "clone": _one("x = x.clone()", weight=2),
    "copy": Template(("y = torch.empty_like(x)", "x = y.copy_(x)"), weight=2),
    "every_second": _one("x = x[..., ::2] if x.shape[-1] >= 8 else x"),
    "tail": _one("x = x[..., x.shape[-2] // 3 :, :]"),
    "flip": _one("x = x.flip(-1)"),
    "roll": _one("x = x.roll({n}, -1)", 1, 3),
    "cat": _one("x = torch.cat([x, x * 0.5], -1)[..., :64]"),
    "stack": _one("x = torch.stack([x, x + b[: x.shape[-1]]]).mean(0)"),
    "expand": _one("x = (x.unsqueeze(0).expand({n}, *x.shape) * 0.25).sum(0)", 2, 4),
    "index_select": _one("x = x.index_select(-1, torch.arange(x.shape[-1] - 1, -1, -1, device=x.device))"),
    "pad": _one("x = F.pad(x, (1, 2))[..., :64]"),
    # scalars and factories
    "multiply": _one("x = x * (1 / {n})", *SCALARS, weight=2),
    "add": _one("x = x + {n}", *SCALARS, weight=2),
    "add_in_place": Template(("x = x.clone()", "x += 1 / {n}"), SCALARS),
    "ramp": _one("x = x + torch.arange(x.shape[-1], device=x.device, dtype=x.dtype) / 64"),
    "line": _one("x = x * torch.linspace(0.5, 1.5, x.shape[-1], device=x.device, dtype=x.dtype)"),
    "bias": _one("x = x + b[: x.shape[-1]]"),
    # products
    "linear": _one("x = F.linear(x, w[:{n}, : x.shape[-1]], b[:{n}])", *SIZES, weight=3),
    "matmul": _one("x = x @ w[: x.shape[-1], :{n}]", *SIZES, weight=2),
    "gram": _one("x = x @ x.transpose(-1, -2) / 64"),
    "attention": _one("x = F.scaled_dot_product_attention(x, x, x)", weight=3),
    "packed_attention": Template(
        (
            "y = (x @ w[: x.shape[-1], :48]).unflatten(-1, (3, 2, 8)).movedim(-3, 0).transpose(-2, -3)",
            "x = F.scaled_dot_product_attention(y[0], y[1], y[2]).transpose(-2, -3).flatten(-2)",
        )
    ),
    # normalisations and reductions
    "layer_norm": _one(
        "x = F.layer_norm(x, x.shape[-1:], b[: x.shape[-1]], b[-x.shape[-1] :], eps=0.01)", weight=3
    ),
    "softmax": _one("x = x.softmax(-1) * 4"),
    "center": _one("x = x - x.mean(-1, keepdim=True) / 2"),
    "cumsum": _one("x = x.cumsum(-1) / 16"),
    "sort": _one("x = x.sort(-1).values"),
    "amax": _one("x = x - x.amax(-2, keepdim=True) / 2"),
    # point by point
    "gelu": _one("x = F.gelu(x)"),
    "relu": _one("x = F.relu(x) + x / 8"),
    "tanh": _one("x = x.tanh()", weight=2),
    "sigmoid": _one("x = x.sigmoid()"),
    "where": _one("x = torch.where(x > 0, x, x / {n})", *SCALARS),
    "clamp": _one("x = x.clamp(-{n}, {n})", 2, 3),
    # the host
    "to_host": _one("x = x.cpu().to(x.device)"),
    "item": _one("x = x / (1 + float(x.mean().tanh()) ** 2)"),
}


@dataclass(frozen=True)
class Op:
    """One operator of a sequence."""

    lane: str
    name: str
    number: int | None = None

    def __str__(self) -> str:
        """Return the form that `parse` reads."""
        return f"{self.lane} {self.name}" + ("" if self.number is None else f" {self.number}")

    @property
    def code(self) -> tuple[str, ...]:
        """Return its lines of torch code."""
        return tuple(line.replace("{n}", str(self.number)) for line in TEMPLATES[self.name].code)

    @classmethod
    def parse(cls, text: object) -> Op:
        """Return the operator; raise `ValueError` for a text that names none. Nothing of a text is ever executed."""
        parts = text.split(" ") if isinstance(text, str) else []
        template = TEMPLATES.get(parts[1]) if len(parts) in (2, 3) and parts[0] in LANES else None
        if template is not None and len(parts) == 2 + bool(template.numbers):
            number = int(parts[2]) if template.numbers and parts[2].isdigit() else None
            if not template.numbers or number in template.numbers:
                return cls(parts[0], parts[1], number)
        raise ValueError(f"{text!r:.80} is not an operator of a sequence: expected one as in 'a linear 24'")


LANES = ("a", "b")
"""Even threads run the first lane, odd ones the second."""
