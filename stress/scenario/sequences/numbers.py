"""The sequences of a run: `--mps-sequences`, passed to the scenario file through the environment. Imports no torch."""

from __future__ import annotations

import random
from collections.abc import Mapping

from stress.scenario.sequences.catalogue import LANES
from stress.scenario.sequences.catalogue import TEMPLATES
from stress.scenario.sequences.catalogue import Op

VARIABLE = "MPS_STRESS_SEQUENCES"
DEFAULT = "1-4"
NUMBER_MAX = 10**9
SEQUENCES_MAX = 1000
OPS_PER_LANE = 9
FORM = "expected numbers and ranges, as in 1-4 or 17,40-49"


def parse(text: str) -> tuple[int, ...]:
    """Return the numbers; raise `ValueError` with the way out."""
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        ends = (first, last if dash else first)
        if not all(one.isascii() and one.isdigit() and int(one[:11]) <= NUMBER_MAX for one in ends):
            raise ValueError(FORM)
        low, high = map(int, ends)
        if high < low or high - low >= SEQUENCES_MAX:
            raise ValueError(f"{FORM}, at most {SEQUENCES_MAX} of them")
        numbers += range(low, high + 1)
    if len(set(numbers)) > SEQUENCES_MAX:
        raise ValueError(f"{FORM}, at most {SEQUENCES_MAX} of them")
    return tuple(dict.fromkeys(numbers))


def chosen(environ: Mapping[str, str]) -> tuple[int, ...]:
    """Return the numbers of this run; raise `ValueError`."""
    try:
        return parse(environ.get(VARIABLE) or DEFAULT)
    except ValueError as error:
        raise ValueError(f"{VARIABLE}={environ[VARIABLE]}: {error}") from None


def draw(number: int) -> list[str]:
    """Return the operators of sequence `number`, the same on every machine."""
    generator = random.Random(f"mps-stress sequence {number}")
    names = [name for name, template in TEMPLATES.items() for _ in range(template.weight)]
    ops = []
    for lane in LANES:
        for _ in range(OPS_PER_LANE):
            name = generator.choice(names)
            numbers = TEMPLATES[name].numbers
            ops.append(str(Op(lane, name, generator.choice(numbers) if numbers else None)))
    return ops


def shape(number: int) -> tuple[int, ...]:
    """Return the shape of the inputs of sequence `number`."""
    generator = random.Random(f"mps-stress shape {number}")
    batch = generator.choice(((), (2,), (3,)))
    return (*batch, generator.randint(4, 40), generator.randint(6, 64))
