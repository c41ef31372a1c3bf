"""`check()` and `touches()`, for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any

import torch

from stress.order.found import OrderCheck
from stress.order.session import OrderSession


class check:
    """Check the order of everything that runs inside, on all threads that start inside and on this one.

    `level` is "device" (streams, host memory and reuse; aims at no false alarm) or "strict" (the order of threads and
    locks too; locks made before are not seen). Yields an `OrderCheck`. Raises `RuntimeError` inside another check, and
    `ValueError` for an unknown level. Threads that ran before are not seen.
    """

    def __init__(self, level: str = "device") -> None:
        self._session = OrderSession(level)

    def __enter__(self) -> OrderCheck:
        self._session.start()
        return self._session.check

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session.stop()


def touches(
    stream: Any = None,
    *,
    reads: Iterable[torch.Tensor] = (),
    writes: Iterable[torch.Tensor] = (),
    name: str = "custom kernel",
) -> None:
    """Say that a kernel which torch did not launch reads and writes these tensors on `stream` (None: the current one).

    Call it where the kernel is launched. Outside a check it does nothing.
    """
    session = OrderSession.active
    if session is not None:
        session.touches(stream, reads, writes, name)
