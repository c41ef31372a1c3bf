"""The transient line below pytest's own: which item, which attempt, failures so far, time left.

Only on a terminal, and gone before pytest writes: a file or a pipe never holds any of it; the log of a CI gets a line a minute. rich's Live cannot do this: it
owns the lines that it draws on, and pytest is in the middle of one, with letters still to come.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from stress.model.text import count
from stress.model.verdict import Verdict
from stress.plugin.run import Run
from stress.plugin.terminal.failure_groups import row_of_report

NAME = "mps-stress-progress"
_ROLES = {"reference": "one thread alone", "control": "the one-thread control", "fresh": "in a fresh process"}
LOGGED_EACH_S = 60.0
_CLEAR = Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2))


def is_wanted(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether somebody looks at the terminal while it runs, and nobody else draws on it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return (
        type(reporter) is pytest.TerminalReporter
        and bool(reporter.isatty)
        and config.get_verbosity() >= 0
        and not environ.get("CI")
        and environ.get("TERM") != "dumb"
        and not hasattr(config, "workerinput")
    )


def is_logged(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the output is the log of a CI, which people look at while it grows."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return (
        type(reporter) is pytest.TerminalReporter
        and config.get_verbosity() >= 0
        and bool(environ.get("CI"))
        and not config.getoption("tx", default=None)  # whoever distributes the items does not run them
        and not hasattr(config, "workerinput")
    )


class _Course:
    """How far the run is: which item, how many have failed, and the time that the rest will take."""

    def __init__(self, run: Run, clock: Callable[[], float]) -> None:
        self._run, self._clock = run, clock
        self._items: dict[str, Any] = {}
        """Node id -> the `ScenarioItem`, whose module is above this one."""
        self._number = self._failed = self._ran = 0
        self._began_s = 0.0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._items = {one.nodeid: one for one in session.items if hasattr(one, "scenario_class")}
        self._began_s = self._clock()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._number += nodeid in self._items

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = row_of_report(report)
        if row is not None and report.nodeid in self._items:
            self._ran += 1
            self._failed += row.verdict.is_failure and not row.canary

    def _parts(self, *what: str) -> str:
        """Return the text for now; `what` is told about the item."""
        left_s = self._left_s()
        parts = [
            f"item {self._number} of {len(self._items)}",
            *what,
            f"{count(self._failed, 'item')} failed so far",
            *([f"about {_duration(left_s)} left"] if left_s is not None else []),
        ]
        return ", ".join(parts)

    def _left_s(self) -> float | None:
        """Return how long the rest takes if it is like what ran; None before there is anything to go by."""
        budget_s = self._run.budget.left_s
        if not self._ran:
            return budget_s
        each_s = (self._clock() - self._began_s) / self._number
        left_s = each_s * (len(self._items) - self._number + 1)
        return left_s if budget_s is None else min(left_s, max(0.0, budget_s))


class LoggedProgress(_Course):
    """A plugin of a run in CI: a line between two items, when the last one is a minute old."""

    def __init__(self, config: pytest.Config, run: Run, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(run, clock)
        self._config, self._said_s = config, clock()

    def pytest_runtest_logfinish(self) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if self._ran and reporter is not None and self._clock() - self._said_s >= LOGGED_EACH_S:
            self._said_s = self._clock()
            reporter.ensure_newline()
            reporter.write_line(f"mps: {self._parts()}")


class Progress(_Course):
    """A plugin of a run on a terminal. What it knows comes from the records, as they are written."""

    def __init__(self, config: pytest.Config, run: Run, clock: Callable[[], float] = time.monotonic) -> None:
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        assert reporter is not None, "asked for by is_wanted"
        super().__init__(run, clock)
        self._writer = reporter._tw
        # While an item runs, pytest's capture has the descriptor that the reporter writes to, and puts what it gets into
        # the item's report. Now, before the first item, it still is the terminal.
        self._file = open(os.dup(reporter._tw._file.fileno()), "w", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._console = Console(file=self._file, force_terminal=True, highlight=False, markup=False)
        self._bad_attempts = 0
        self._is_shown = False

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        super().pytest_runtest_logstart(nodeid)
        self._bad_attempts = 0

    def pytest_mps_record(self, record: Mapping[str, Any]) -> None:
        item = self._items.get(record.get("item", ""))
        if item is None:
            return
        if record["kind"] == "attempt_start":
            self._show(self.line(item, record["role"], record["attempt"]))
        elif record["kind"] == "attempt_end" and record["role"] == "crew":
            self._bad_attempts += Verdict(record["verdict"]).is_failure

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Make room before pytest writes the item's letter."""
        self.clear()
        super().pytest_runtest_logreport(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_keyboard_interrupt(self) -> None:
        self.clear()

    @pytest.hookimpl(tryfirst=True)
    def pytest_internalerror(self) -> None:
        self.clear()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        self.clear()

    def pytest_unconfigure(self) -> None:
        self._file.close()

    def line(self, item: Any, role: str, attempt: int) -> str:
        """Return the text for a child that starts now."""
        attempts = self._run.settings.attempts_of(item.scenario_class)
        what = _ROLES.get(role) or f"attempt {attempt + 1} of {attempts}"
        bad = f" ({self._bad_attempts} failed)" if self._bad_attempts else ""
        return f"{self._parts(f'{what}{bad}')}: {item.name}"

    def _show(self, text: str) -> None:
        if self._is_shown:
            self._console.control(_CLEAR)
        else:
            self._file.write("\n")  # below the line that pytest is in the middle of
        shown = Text(text, style="dim", no_wrap=True)
        shown.truncate(self._writer.fullwidth - 1, overflow="ellipsis")
        self._console.print(shown, end="", soft_wrap=True)
        self._file.flush()
        self._is_shown = True

    def clear(self) -> None:
        """Remove the line, and put the cursor back to where pytest left it."""
        if self._is_shown:
            back = Control.move_to_column(self._writer.width_of_current_line, -1)
            self._console.control(_CLEAR, back)
            self._file.flush()
            self._is_shown = False


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
