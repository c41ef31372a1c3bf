"""The common part of our items: a row in the closing table, and a block of text where they are not green."""

from __future__ import annotations

from typing import Any

import pytest
from _pytest._code.code import ReprFileLocation  # only the message and place of the short summary
from _pytest._code.code import TerminalRepr
from _pytest._io import TerminalWriter

from stress.plugin.run import Run
from stress.plugin.run import run_of
from stress.plugin.terminal.item_row import ItemRow
from stress.plugin.terminal.item_row import rate_text
from stress.record.folder import host_name


class NotGreen(Exception):
    """An item that is not green; carries what its report shows."""

    def __init__(self, block: str, message: str) -> None:
        super().__init__(message)
        self.block, self.message = block, message


class JudgedItem(pytest.Item):
    """An item with a verdict. Running it sets the row."""

    row: ItemRow | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # pytest-run-parallel would mark every line of the output; its own flag for foreign items.
        self._parallel_custom_item = True

    def skip_if_out_of_time(self, run: Run) -> None:
        """Skip where the time budget is spent."""
        if run.budget.is_spent:
            pytest.skip(f"time budget spent (--mps-seconds={run.settings.seconds:g}): not run")

    def take(self, row: ItemRow, *, replay: str = "") -> None:
        """Show the verdict to pytest and to its plugins: JUnit's properties are these, and Allure's and CTRF's labels."""
        self.row = row
        run = run_of(self.config)
        torch = run.device.torch if run.device is not None else {}
        told = {
            "mps_verdict": str(row.verdict),
            "mps_simulated": True if row.simulated else None,
            "mps_failures": f"{row.failures} of {row.counted}",
            "mps_interval": rate_text(row),
            "mps_signature": row.signature,
            "mps_replay": replay,
            "mps_seed": f"{run.settings.seed:#x}",
            "mps_device": run.device.name if run.device is not None else None,
            "mps_torch": " ".join(str(torch[one]) for one in ("version", "git") if torch.get(one)),
            "mps_host": host_name(),
        }
        self.user_properties += [(name, value) for name, value in told.items() if value]

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, NotGreen):
            path, line, _ = self.location
            return _Block(excinfo.value.block, path, (line or 0) + 1, excinfo.value.message)
        return super().repr_failure(excinfo, style)


class _Block(TerminalRepr):
    """The failure block, with the one-line message that pytest's short summary shows."""

    def __init__(self, text: str, path: str, line: int, message: str) -> None:
        self.text = text
        self.reprcrash = ReprFileLocation(path, line, message)

    def toterminal(self, tw: TerminalWriter) -> None:
        tw.line(self.text)
