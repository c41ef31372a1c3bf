"""MODULE:NAME: import what a person names, and say what is wrong with it before anything runs."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from stress.commands import CommandError
from stress.model.text import one_line


@dataclass(frozen=True)
class Target:
    """An object that a child process can import by its name."""

    module: str
    name: str
    """Attributes with dots between."""
    value: Any
    folder: str | None
    """What has to be on `sys.path`; None for what is installed."""

    @property
    def expression(self) -> str:
        """Return the Python that names it where its module is imported."""
        return f"{self.module}.{self.name}"

    @property
    def arguments(self) -> int:
        """Return how many arguments a call must or may have by position: 0 or 1. Raise `CommandError` for more."""
        if not callable(self.value):
            raise CommandError(f"{self}: it is {_article(type(self.value).__name__)}, which cannot be called")
        try:
            parameters = inspect.signature(self.value).parameters.values()
        except (TypeError, ValueError):  # a function in C says nothing
            return 0
        needed = [one for one in parameters if one.default is one.empty and one.kind not in _VARIADIC]
        if len(needed) > 1 or any(one.kind is one.KEYWORD_ONLY for one in needed):
            names = ", ".join(one.name for one in needed)
            raise CommandError(
                f"{self}: it needs the arguments {names}: name a function that calls it with them, and needs none"
            )
        return len(needed)

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def find_target(text: str, folder: Path) -> Target:
    """Import what `text` names, from `folder` or installed; raise `CommandError` with the way out."""
    module_name, colon, name = text.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), *name.split("."))):
        raise CommandError(f"{one_line(text, 80)}: expected MODULE:NAME, as in chatserver.model:make_model")
    module = import_from(module_name, folder)
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            raise CommandError(f"{text}: {module_name} has no {name}{_similar(part, value)}")
        value = getattr(value, part)
    return Target(module_name, name, value, import_folder(module))


def import_from(name: str, folder: Path) -> ModuleType:
    """Import a module from `folder` or installed; raise `CommandError`."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise CommandError(
                f"no module {name} in {folder}, and none is installed: go to the folder that it is imported from"
            ) from None
        raise CommandError(f"{name} cannot be imported: {error}") from None
    except Exception as error:
        raise CommandError(
            f"{name} cannot be imported: {type(error).__name__}: {one_line(str(error))}"
        ) from error


def import_folder(module: ModuleType) -> str | None:
    """Return the folder that makes a module importable, None where it is installed."""
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    folder = Path(file).resolve().parent
    is_package = hasattr(module, "__path__")
    for _ in range(module.__name__.count(".") + is_package):
        folder = folder.parent
    installed = {Path(sysconfig.get_path(one)).resolve() for one in ("purelib", "platlib", "stdlib")}
    return None if folder in installed else str(folder)


@contextlib.contextmanager
def named_in_errors(target: object) -> Iterator[None]:
    """Turn what the user's function raises into a sentence that names it."""
    try:
        yield
    except Exception as error:
        raise CommandError(f"{target}: it raised {type(error).__name__}: {one_line(str(error))}") from error


def call(target: Target, *given: Any) -> Any:
    """Call it with as many arguments as it takes."""
    function: Callable[..., Any] = target.value
    arguments = given[: target.arguments]
    with named_in_errors(target):
        return function(*arguments)


def _similar(name: str, owner: object) -> str:
    public = [one for one in dir(owner) if not one.startswith("_")]
    close = difflib.get_close_matches(name, public, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"
