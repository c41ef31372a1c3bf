"""Function-scoped fixtures, once per thread. The one place that touches pytest's undocumented names.

Each thread of a test gets its own value of every function-scoped fixture; wider scopes are shared, as they
are between tests. All are set up in the main thread, one thread's after the other's, before the threads
start, and torn down in reverse after they have ended: fixtures are not written to run at the same time.

How: `pytest_fixture_setup` is a public first-result hook. For a threaded test it runs the fixture function N
times and stores a `PerThread` where pytest stores the one value; whatever takes the value out picks its
thread's. Undocumented names that this needs: `FixtureDef.cached_result` and `.cache_key` (pytest decides by
them whether teardown is due), `Function._instance`, `Function._obj`, `Function._fixtureinfo`.

A request is copied for each thread so that `request.getfixturevalue()` in a fixture picks too.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

PROCESS_GLOBAL = frozenset(
    {
        "capfd",
        "capfdbinary",
        "caplog",
        "capsys",
        "capsysbinary",
        "capteesys",
        "doctest_namespace",
        "mocker",
        "monkeypatch",
        "pytester",
        "recwarn",
        "subtests",
        "testdir",
    }
)
"""Fixtures that change the whole process (or pytest) for the duration of one test."""


class PerThread:
    """One value per thread, in the place where pytest keeps a fixture's one value."""

    __slots__ = ("values",)

    def __init__(self, values: Sequence[object]) -> None:
        self.values = values


def pick(value: object, index: int) -> object:
    """Return the thread's own value, or the shared one."""
    return value.values[index] if isinstance(value, PerThread) else value


def instances_of(item: pytest.Function, threads: int) -> list[object]:
    """Return one instance of the test's class per thread; the first is the one pytest made."""
    first = item.instance
    if first is None:
        return [None] * threads
    cls: Any = type(first)
    fresh = (lambda: cls(item.name)) if _is_unittest(item) else cls
    return [first, *(fresh() for _ in range(threads - 1))]


def renew(item: pytest.Item) -> None:
    """Let the next run of the item have a fresh instance of its class: pytest keeps the one that it made first."""
    for name in ("_instance", "_obj"):
        if isinstance(item, pytest.Function) and item.cls is not None:
            vars(item).pop(name, None)


def arguments(item: pytest.Function, index: int) -> dict[str, object]:
    """Return the keyword arguments of the test function in thread `index`."""
    names = item._fixtureinfo.argnames
    return {name: pick(item.funcargs[name], index) for name in names}


def clashing(item: pytest.Function, shared: frozenset[str]) -> list[str]:
    """Name the process-global fixtures that the test uses, directly or through others, undeclared."""
    return sorted((PROCESS_GLOBAL & set(item.fixturenames)) - shared)


def set_up(
    fixturedef: pytest.FixtureDef[Any],
    request: pytest.FixtureRequest,
    instances: Sequence[object],
    shared: frozenset[str],
) -> object | None:
    """Set `fixturedef` up for every thread; None: this fixture is pytest's to set up, once."""
    name, function = fixturedef.argname, fixturedef.func
    if fixturedef.scope != "function" or function.__name__ == "get_direct_param_fixture_func":
        return None
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return None  # a plugin's, or pytest's own error
    is_shared = name in shared
    if is_shared and not any(
        isinstance(request.getfixturevalue(n), PerThread) for n in _argnames(fixturedef)
    ):
        return None
    key = fixturedef.cache_key(request)  # type: ignore[arg-type]  # a SubRequest at run time
    try:
        if is_shared:
            result: object = _one(fixturedef, request, 0, instances)
        elif name == "thread_index":
            result = PerThread(range(len(instances)))
        elif name == "tmp_path" and function.__module__ == "_pytest.tmpdir":
            result = _folders(_one(fixturedef, request, 0, instances), len(instances))
        else:
            result = PerThread([_one(fixturedef, request, i, instances) for i in range(len(instances))])
    except BaseException as error:
        # Also when it fails half-way: pytest runs the finalizers of a fixture only when there is a result.
        fixturedef.cached_result = (None, key, (error, error.__traceback__))
        raise
    fixturedef.cached_result = (result, key, None)
    return result


def _argnames(fixturedef: pytest.FixtureDef[Any]) -> list[str]:
    return [name for name in fixturedef.argnames if name != "request"]


def _folders(base: object, threads: int) -> PerThread:
    """Return one folder per thread below the test's. `tmp_path` itself cannot be set up twice for a test."""
    assert isinstance(base, Path)
    folders = [base / f"thread-{index}" for index in range(threads)]
    for folder in folders:
        folder.mkdir()
    return PerThread(folders)


def _one(
    fixturedef: pytest.FixtureDef[Any],
    request: pytest.FixtureRequest,
    index: int,
    instances: Sequence[object],
) -> object:
    """Run the fixture function for one thread, up to its `yield` if it has one."""
    item = request.node
    with _instance(item, instances[index]):
        values: dict[str, object] = {
            name: pick(request.getfixturevalue(name), index) for name in _argnames(fixturedef)
        }
        if "request" in fixturedef.argnames:
            values["request"] = for_thread(request, index)
        function = _bound(fixturedef.func, instances[index])
        if not inspect.isgeneratorfunction(function):
            return function(**values)
        generator = function(**values)
        try:
            value: object = next(generator)
        except StopIteration:
            raise ValueError(f"{fixturedef.argname} did not yield a value") from None
    fixturedef.addfinalizer(functools.partial(_tear_down, fixturedef.argname, generator))
    return value


def _tear_down(name: str, generator: Iterator[object]) -> None:
    for _ in generator:
        pytest.fail(f"fixture function {name!r} has more than one 'yield'", pytrace=False)


def for_thread(request: pytest.FixtureRequest, index: int) -> pytest.FixtureRequest:
    """Return a copy of `request` whose `getfixturevalue` gives the thread's own values."""
    original = request.getfixturevalue
    own = copy.copy(request)
    vars(own)["getfixturevalue"] = lambda argname: pick(original(argname), index)
    return own


def _bound(function: Callable[..., Any], instance: object) -> Callable[..., Any]:
    """Bind a fixture method to the thread's instance, when it is a method of that class (pytest #2270)."""
    owner = getattr(function, "__self__", None)
    if instance is None or owner is None or isinstance(owner, type) or not isinstance(instance, type(owner)):
        return function
    bound: Callable[..., Any] = function.__func__.__get__(instance)  # type: ignore[attr-defined]
    return bound


@contextlib.contextmanager
def _instance(item: pytest.Function, instance: object) -> Iterator[None]:
    """Make `request.instance` the thread's own while its fixtures are set up."""
    if instance is None:
        yield
        return
    before = item.instance
    item._instance = instance
    try:
        yield
    finally:
        item._instance = before


def _is_unittest(item: pytest.Function) -> bool:
    import unittest

    return isinstance(item.instance, unittest.TestCase)
