"""Attributes of torch's and Python's own modules and classes that are replaced while a check runs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any


def replace(stack: ExitStack, owner: Any, name: str, value: object) -> None:
    """Set an attribute of a module or class until the stack is closed; raise `TypeError` for a class that is C's.

    What the owner has only inherited it inherits again then.
    """
    has_own = name in vars(owner)
    before = vars(owner).get(name)
    setattr(owner, name, value)
    if has_own:
        stack.callback(setattr, owner, name, before)
    else:
        stack.callback(delattr, owner, name)
