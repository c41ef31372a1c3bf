"""Warnings that are about how we import torch, and about nothing that a user did."""

from __future__ import annotations

import warnings

NUMPY_WARNING = "Failed to initialize NumPy"
"""How torch's warning begins where there is no numpy, which neither torch nor this package needs."""


def ignore_numpy_warning() -> None:
    warnings.filterwarnings("ignore", NUMPY_WARNING, UserWarning)
