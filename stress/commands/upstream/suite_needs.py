"""What PyTorch's test files expect of the machine and a simulated device's has not: a pytest plugin for the child processes.

They ask macOS how much memory there is while they are imported, and its version says what they expect to fail. Off macOS
the first is answered with this machine's memory; the second is, on the simulated devices, that of the newest macOS that
they model. Nothing of a test is changed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import psutil
import pytest

MACOS_VERSION = 15.1
"""What the simulated Metal says by default: the lists of expected failures are those of this version."""
# The tree's own conftest.py and pytest.ini are written for one pinned pytest; the tests need neither.
SUITE_ARGUMENTS = ("-c", os.devnull, "--noconftest", "-p", __name__)
"""pytest's, for PyTorch's tests."""
_ASKED = ["sysctl", "-n", "hw.memsize"]


def pytest_configure(config: pytest.Config) -> None:
    """In a child alone, whose session was given none of our options, and only off macOS."""
    if sys.platform == "darwin" or config.getoption("mps_threads", None) is not None:
        return
    answer_questions()


def answer_questions() -> None:
    """Answer in this process what PyTorch's tests ask of macOS."""
    _answer_for_sysctl()
    from torch.testing._internal import common_utils

    if getattr(common_utils, "MACOS_VERSION", 0) <= 0:
        common_utils.MACOS_VERSION = MACOS_VERSION


def _answer_for_sysctl() -> None:
    original = subprocess.check_output

    def check_output(*popenargs: Any, **kwargs: Any) -> Any:
        if popenargs and list(popenargs[0]) == _ASKED:
            return f"{psutil.virtual_memory().total}\n".encode()
        return original(*popenargs, **kwargs)

    subprocess.check_output = check_output
