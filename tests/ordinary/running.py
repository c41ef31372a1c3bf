"""Run pytest on a small file in a subprocess and look at what became of each test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 800
ALL = ("--mps-threads=8", "--mps-all-tests", "--mps-no-isolation")
_SUMMARY = re.compile(
    r"^(PASSED|FAILED|SKIPPED|ERROR|XFAIL|XPASS)\s+(?:\[\d+\] )?(\S+?)(?:: | - |$)(.*)$", re.MULTILINE
)


@dataclass(frozen=True)
class Ran:
    """One pytest process that has ended."""

    code: int
    text: str
    folder: Path

    def outcome(self, name: str) -> str:
        """Return "FAILED" and so on for the test function `name`."""
        return self._entry(name)[0]

    def message(self, name: str) -> str:
        """Return the test's line in pytest's short summary, after the name."""
        return self._entry(name)[1]

    def block(self, name: str) -> str:
        """Return the test's failure block."""
        found = re.search(
            rf"^_+ (?:ERROR at \w+ of )?\S*{name} _+$(.*?)(?=^(?:_+ \S.* _+|=+ .* =+)$)",
            self.text,
            re.M | re.S,
        )
        assert found, f"no failure block of {name} in:\n{self.text}"
        return found[1]

    def counts(self) -> dict[str, int]:
        """Return {"passed": 3, ...} from pytest's last line."""
        last = next(line for line in reversed(self.text.splitlines()) if re.search(r" in [\d.]+s", line))
        return {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", last.split(" in ")[0])}

    def _entry(self, name: str) -> tuple[str, str]:
        for outcome, node, rest in _SUMMARY.findall(self.text):
            if node.rpartition("::")[2] == name:
                return outcome, rest
        raise AssertionError(f"no outcome of {name} in:\n{self.text}")


def run(folder: Path, source: str, *args: str, ini: str = "", **environment: str) -> Ran:
    """Write `test_it.py`, run pytest with our plugin and its neighbours, and wait for the end."""
    (folder / "test_it.py").write_text(textwrap.dedent(source))
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    variables = dict(os.environ, COLUMNS="600", **environment)
    for name in [name for name in variables if name.startswith(("PYTEST_", "COV_"))]:
        del variables[name]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", *args],
        cwd=folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    text = done.stdout + done.stderr
    print(text)  # shown by pytest where the test fails
    return Ran(done.returncode, text, folder)
