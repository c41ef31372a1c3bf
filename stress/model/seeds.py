"""Seeds: every random choice of a run follows from one root seed by hashing, so no two streams overlap.

Adding small integers to a seed was tried in a prototype and made neighbouring streams shifted copies of
each other; a hash of all parts cannot.
"""

from __future__ import annotations

import hashlib
import random
import sys


def derive(root: int, *parts: object) -> int:
    """Return a 63-bit seed for `parts` (anything with a stable `str`) under `root`."""
    text = "\x1f".join([str(root), *map(str, parts)])
    # A file's name may hold bytes that the locale cannot read; they count as they are, so that the seed is the same in any.
    data = text.encode(errors="surrogateescape")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") >> 1


def seed_generators(seed: int) -> None:
    """Seed every default generator alike: torch (all devices), `random`, and numpy where it is loaded."""
    import torch

    torch.manual_seed(seed)
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed & 0xFFFFFFFF)
