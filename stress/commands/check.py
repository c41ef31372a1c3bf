"""`stress.check`: run one function from several threads, from a script or a notebook, exactly as a scenario is run.

It writes the scenario that a person would write, and pytest runs it: the same references, crew, verdicts and records.
Child processes have to import the functions. What they cannot import is refused with the way out: nothing is run in
this process, which a crash would end. Forking this process instead was considered: a process that has run an op hangs or
raises in its forked children (OpenMP's pool, autograd's threads, every GPU), and a check must not fail for its own doing.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import secrets
import sys
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from stress.commands import CommandError
from stress.commands.hand_over import QUIET
from stress.commands.try_.options import device_default
from stress.commands.try_.scenario_file import of_functions
from stress.commands.try_.target import Target
from stress.commands.try_.target import import_folder
from stress.model.verdict import Verdict
from stress.plugin.run import run_of
from stress.plugin.terminal.failure_groups import row_of_report
from stress.plugin.terminal.item_row import ItemRow
from stress.plugin.terminal.table import note_lines
from stress.plugin.terminal.table import sentences

_importing: list[str] = []
"""Modules that a running check imports: one that calls `check` at its top level would never come to an end."""


@dataclass(frozen=True)
class Checked:
    """The result of `stress.check`. Printing it shows what the terminal shows of a scenario."""

    verdict: Verdict
    """The worst of the attempts."""
    attempts: int
    """Attempts that count for a rate."""
    failures: int
    """How many of them failed."""
    folder: Path
    """Where the records are."""
    text: str
    """The failure block; for a pass, what the attempts exclude."""

    @property
    def ok(self) -> bool:
        """Whether every attempt passed."""
        return self.verdict.is_green

    def __repr__(self) -> str:
        return self.text


def check(
    step: Callable[[Any, Any], Any],
    *,
    setup: Callable[[Any], Any] | None = None,
    make_input: Callable[[Any], Any] | None = None,
    threads: int = 8,
    device: str | None = None,
    iterations: int = 50,
    attempts: int = 5,
    seed: int | None = None,
    must_pass: bool = False,
) -> Checked:
    """Run `step(state, x)` from `threads` threads at once and compare what each gets with what one thread alone gets.

    `setup(device)` makes the state that the threads share, `make_input(generator)` one input on the CPU, as the methods
    of a `Scenario` do. What runs is what their files say when the children import them. Each thread runs `step` `iterations` times in each of `attempts` child processes. All three
    functions must be importable: defined in a file, at its top level. `device` is "mps", "cuda", "cpu" or "sim"; None
    means mps on macOS, elsewhere the CPU.

    Raises `AssertionError` with the failure block where `must_pass` is given and an attempt failed, and `ValueError`,
    with the way out, for what cannot be run.
    """
    if _importing:
        raise ValueError(
            f"stress.check was called while {_importing[-1]} was being imported, as each child process does: put the call "
            'under `if __name__ == "__main__":`'
        )
    if threads == 1:
        raise ValueError("threads=1: one thread tests nothing about threads; use 2 or more")
    named = {"setup": setup, "make_input": make_input, "step": step}
    try:
        targets = {name: None if one is None else _target(name, one) for name, one in named.items()}
        file = of_functions(targets, iterations, "Written by stress.check.")
        path = file.write(Path.cwd())
    except CommandError as error:
        raise ValueError(str(error)) from None
    watcher = _Watcher()
    errors = io.StringIO()
    packages = sorted({one.module.partition(".")[0] for one in targets.values() if one is not None})
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        pytest.main(
            [
                *QUIET,
                f"{path}::{file.class_name}",
                f"--rootdir={Path.cwd()}",
                f"--mps-threads={threads}",
                f"--mps-attempts={attempts}",
                f"--mps-device={device or device_default()}",
                f"--mps-seed={secrets.randbits(32) if seed is None else seed}",
                f"--mps-trace-modules={','.join(packages)}",
            ],
            plugins=[watcher],
        )
    if watcher.row is None or watcher.folder is None:
        said = (
            errors.getvalue().strip().removeprefix("ERROR: ").replace("--mps-", "")
        )  # arguments, no options
        raise ValueError(watcher.problem or said or "nothing ran")
    result = _result(watcher.row, watcher.text, watcher.folder)
    if must_pass and not result.ok:
        raise AssertionError(result.text)
    return result


class _Watcher:
    """Takes what pytest would print."""

    def __init__(self) -> None:
        self.row: ItemRow | None = None
        self.folder: Path | None = None
        self.text = self.problem = ""

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        self.folder = run_of(config).folder_path

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.problem = str(report.longrepr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = row_of_report(report)
        if row is not None:
            self.row, self.text = row, "" if report.passed else str(report.longrepr)
        elif report.failed or report.skipped:
            self.problem = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)


def _result(row: ItemRow, block: str, folder: Path) -> Checked:
    lines = [block or f"{row.item.rpartition('::')[2]}: {row.word}"]
    if not block:
        lines += [f"  {line}" for line in (*sentences([row]), *note_lines([row]))]
    lines.append(f"  records: {folder}")
    return Checked(row.verdict, row.counted, row.failures, folder, "\n".join(lines))


def _target(role: str, function: Callable[..., Any]) -> Target:
    """Return where a child process finds a function; raise `CommandError` for one that it cannot import."""
    name, module_name = getattr(function, "__qualname__", ""), getattr(function, "__module__", None)
    module = sys.modules.get(module_name or "")
    shown = name or type(function).__name__
    if "<" in name or not name:
        raise CommandError(
            f"{role} is {shown}, which a child process cannot import: use a function that stands at the top level of a file"
        )
    if module is None or getattr(module, "__file__", None) is None or not _is_in(function, module):
        raise CommandError(
            f"{role} is {shown} of an interactive session, which a child process cannot import: put it into a file (in a "
            "notebook: %%writefile my_steps.py), import it from there, and give that function"
        )
    if module_name == "__main__":
        module = _as_imported(module)
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part, None)
    if not callable(value):
        raise CommandError(f"{role} is {shown}, but {module.__name__} has no {name} when it is imported")
    return Target(module.__name__, name, value, import_folder(module))


def _is_in(function: Callable[..., Any], module: ModuleType) -> bool:
    """Whether the function stands in its module's file: a cell of a notebook has a file name that no file has."""
    code = getattr(function, "__code__", None)
    return code is None or Path(code.co_filename).is_file()


def _as_imported(main: ModuleType) -> ModuleType:
    """Return the script that is being run as children see it: a module by the name of its file."""
    assert main.__file__ is not None
    path = Path(main.__file__).resolve()
    if not path.stem.isidentifier():
        raise CommandError(
            f"{path.name} cannot be imported: give the file a name without dots, spaces and hyphens"
        )
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    with _is_importing(path.name):
        return importlib.import_module(path.stem)


@contextlib.contextmanager
def _is_importing(name: str) -> Iterator[None]:
    _importing.append(name)
    try:
        yield
    finally:
        _importing.pop()
