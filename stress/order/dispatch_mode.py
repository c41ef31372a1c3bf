"""A `TorchDispatchMode` that many threads enter and leave at any time."""

from __future__ import annotations

import threading
from typing import Any
from typing import Self

from torch.utils import _python_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

# Module globals of torch that every mode saves at entry and restores at exit. Crew threads enter and leave in
# any order, and "restore what I saw" then leaves them set for ever (23 of 30 crews): the first one in keeps
# what they were and the last one out puts it back.
_FLAGS = (
    "_is_in_torch_dispatch_mode",
    "_is_in_non_infra_torch_dispatch_mode",
    "_is_in_any_mode_without_ignore_compile_internals",
)
_lock = threading.Lock()
_inside = 0
_flags_before: dict[str, bool] = {}


class CrewMode(TorchDispatchMode):
    """A mode of which each thread enters its own object."""

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Keep `torch.compile` on: under a plain mode it silently compiles nothing and runs eagerly."""
        return True

    def __enter__(self) -> Self:
        global _inside
        with _lock:
            if _inside == 0:
                _flags_before.update({name: bool(getattr(_python_dispatch, name, False)) for name in _FLAGS})
            super().__enter__()
            _inside += 1
        return self

    def __exit__(self, *exc_info: Any) -> None:
        global _inside
        with _lock:
            super().__exit__(*exc_info)
            _inside -= 1
            if _inside == 0:
                for name, value in _flags_before.items():
                    if hasattr(_python_dispatch, name):
                        setattr(_python_dispatch, name, value)
