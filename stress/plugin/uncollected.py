"""Scenario files in folders that were collected, under names that pytest does not take for tests."""

from __future__ import annotations

import re
from pathlib import Path

from stress.model.text import count
from stress.scenario.variants import SCENARIO_FOLDER

_CLASS = re.compile(rb"^class \w+\([^)]*Scenario\b", re.MULTILINE)
_METHOD = re.compile(rb"^\s+def (step|steps|body)\(self", re.MULTILINE)
_SHOWN_MAX = 3


class Uncollected:
    """The Python files that nobody collected although they hold a scenario."""

    def __init__(self, rootdir: Path) -> None:
        self._rootdir = rootdir
        self.files: list[str] = []

    def look_at(self, path: Path) -> None:
        """Note a file that is not collected, if a scenario is in it: a base class without steps is none."""
        try:
            source = path.read_bytes()
        except OSError:
            return
        if _CLASS.search(source) and _METHOD.search(source):
            inside = path.is_relative_to(self._rootdir)
            self.files.append(str(path.relative_to(self._rootdir) if inside else path))

    @property
    def line(self) -> str:
        """Return a line that says what was not collected, with the way out; "" where there is nothing."""
        if not self.files:
            return ""
        shown = ", ".join(self.files[:_SHOWN_MAX]) + (", ..." if len(self.files) > _SHOWN_MAX else "")
        verb, them = ("was", "it") if len(self.files) == 1 else ("were", "them")
        return (
            f"mps: {count(len(self.files), 'file')} with scenarios {verb} not collected ({shown}): name {them}, as in "
            f"pytest --mps-threads=8 {self.files[0]}, or put {them} into a folder called {SCENARIO_FOLDER}"
        )
