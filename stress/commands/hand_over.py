"""A command that pytest carries out: its plugin takes the place of pytest's loop over items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pytest

from stress.commands.exit_status import EXIT_INTERRUPTED
from stress.commands.exit_status import EXIT_USAGE

_STATUS: dict[int, int] = {
    pytest.ExitCode.USAGE_ERROR: EXIT_USAGE,
    pytest.ExitCode.INTERRUPTED: EXIT_INTERRUPTED,
}
# pytest-run-parallel, where it is installed, says that it has collected nothing.
# The ini file's addopts are for tests: -n, -v or --lf among them would change what a command is. Twice quiet, because
# "no tests ran" would be printed otherwise.
QUIET = ("-qq", "-o", "addopts=", "-p", "no:cacheprovider", "-p", "no:run-parallel", "--disable-warnings")


class Carrier(Protocol):
    """The command's plugin."""

    status: int | None
    """The command's exit status, once it is known."""


def hand_over(plugin: Carrier, arguments: Sequence[str]) -> int:
    """Run pytest with the plugin and return the command's exit status."""
    status = pytest.main([*QUIET, *arguments], plugins=[plugin])
    if plugin.status is not None:
        return plugin.status
    return _STATUS.get(int(status), int(status))
