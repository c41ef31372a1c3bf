"""Keep torch from importing `torch._dynamo`, 800 modules in more than a second, before something is compiled.

Torch wraps dispatch modes, optimisers and the Python kernels that compute shapes so that dynamo leaves them alone. A
wrapper imports dynamo at its first call, whether or not anything was ever compiled: half of the start of a fresh
interpreter, or a second within a crew. It asks its function for an attribute before; the function itself is put there. As
soon as anybody imports dynamo, all is as torch made it.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType
from types import FunctionType
from types import ModuleType

import torch._compile

_DYNAMO = "torch._dynamo"
_ATTRIBUTE = "__dynamo_disable"
"""What the wrapper asks for; a torch that asks for another one imports dynamo, as it would without this."""


class _UntilDynamo(MetaPathFinder):
    def __init__(self, functions: list[FunctionType]) -> None:
        self._functions = functions

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name == _DYNAMO:
            for one in self._functions:
                if vars(one).get(_ATTRIBUTE) is one:
                    delattr(one, _ATTRIBUTE)
            self._functions.clear()
        return None


def leave_dynamo_out() -> None:
    """Let the wrappers that exist by now call their functions without it, until something else imports it."""
    if _DYNAMO in sys.modules:
        return
    functions = list(_wrapped())
    for one in functions:
        setattr(one, _ATTRIBUTE, one)
    sys.meta_path.insert(0, _UntilDynamo(functions))


def import_dynamo() -> None:
    """Import it now, once, where many attempts follow: an optimiser's step imports it whatever its wrapper does."""
    importlib.import_module(_DYNAMO)


def _wrapped() -> Iterator[FunctionType]:
    wrappers = {one for one in torch._compile._disable_dynamo.__code__.co_consts if isinstance(one, CodeType)}
    for one in gc.get_objects():
        if type(one) is FunctionType and one.__code__ in wrappers:
            cells = dict(zip(one.__code__.co_freevars, one.__closure__ or (), strict=True))
            function = cells["fn"].cell_contents if "fn" in cells else None
            if isinstance(function, FunctionType):
                yield function
