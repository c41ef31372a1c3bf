"""The order checker: are two accesses of the same bytes, one of them a write, ordered at all? Judged from one run.

`stress.order.check()` is for scripts and notebooks; `--mps-order` runs scenarios with it. The model (clocks, histories,
findings) imports no torch; the adapters do, and are loaded when checking begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stress.order.checking import check
    from stress.order.checking import touches

__all__ = ["check", "touches"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'stress.order' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("stress.order.checking"), name)
