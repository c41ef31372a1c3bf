"""A sequence as a program: the same lines are printed for the user and compiled for the threads."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stress.model.errors import BrokenScenario
from stress.scenario.sequences.catalogue import LANES
from stress.scenario.sequences.catalogue import Op

Step = Callable[[Any, Any, Any], list[Any]]
"""(x, w, b) -> [x in the middle, x at the end]."""


def parse(ops: Sequence[object]) -> list[Op]:
    """Return the operators; raise `BrokenScenario` for a text that names none."""
    try:
        return [Op.parse(text) for text in ops]
    except ValueError as error:
        raise BrokenScenario(str(error)) from None


def lane_source(ops: Sequence[Op], lane: str) -> str:
    """Return one lane as a function in plain torch code."""
    own = [one for one in ops if one.lane == lane]
    lines = [f"def lane_{lane}(x, w, b):"]
    for place, one in enumerate(own):
        if place == len(own) // 2:
            lines.append("    middle = x")
        lines += [f"    {line}" for line in one.code]
    if not own:
        lines.append("    middle = x")
    return "\n".join([*lines, "    return [middle, x]", ""])


def compiled(ops: Sequence[Op], lane: str, folder: Path, name: str) -> Step:
    """Return one lane as a function whose lines count as the scenario's own for the perturbation.

    That goes by the folder of a code object's file; this one names a file that is not there.
    """
    import torch
    from torch.nn import functional

    space: dict[str, Any] = {"torch": torch, "F": functional, "__name__": name}
    exec(compile(lane_source(ops, lane), str(folder / f"{name}.py"), "exec"), space)
    step: Step = space[f"lane_{lane}"]
    return step


def source(ops: Sequence[object], shape: Sequence[int], dtype: str, number: int) -> str:
    """Return the whole sequence as a file of plain torch code, to be read and pasted."""
    parsed = parse(ops)
    lines = [
        f"# sequence {number}: even threads run lane a, odd threads lane b; w and b are theirs together",
        "import torch",
        "import torch.nn.functional as F",
        "",
        "",
    ]
    for lane in LANES:
        lines += [lane_source(parsed, lane), ""]
    return "\n".join(
        [
            *lines,
            f"w = (torch.randn(64, 64) / 8).to({dtype})",
            f"b = torch.randn(64).to({dtype})",
            f"x = torch.randn({', '.join(map(str, shape))}).to({dtype})",
            "print(lane_a(x, w, b), lane_b(x, w, b))",
        ]
    )
