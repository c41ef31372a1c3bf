"""The progress line: on a terminal it is drawn while an item runs, and nothing of it stays anywhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from stress.plugin.terminal import progress
from tests.acceptance import PROLOGUE
from tests.acceptance import run_in

SUBJECT = """
class Fine(Scenario):
    iterations = 1
    params = {"case": ["a", "b"]}
    def step(self, state, x):
        return torch.ones(1) * stress.current().thread_index

class Wrong(Scenario):
    iterations = 1
    def step(self, state, x):
        started = float(threading.current_thread().name.startswith("crew"))
        return torch.full((2,), started) + 10 * stress.current().thread_index
"""


def on_a_terminal(folder: Path, *args: str) -> str:
    """Return what pytest writes to a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:run-parallel", *args]
    environ = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}
    with subprocess.Popen(
        command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env={**environ, "COLUMNS": "80", "TERM": "xterm"}
    ):  # fmt: skip
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # EIO: the last process that had it is gone
                break
            if not part:
                break
            parts.append(part)
    os.close(ours)
    return b"".join(parts).decode()


def screen(text: str) -> list[str]:
    """Return the lines that a terminal shows in the end."""
    lines, row, column = [""], 0, 0
    for control, number, letter, plain in re.findall(
        r"(\x1b\[([0-9;]*)([A-Za-z])|\x1b\].*?\x1b\\)|([\s\S])", text
    ):
        if plain == "\r":
            column = 0
        elif plain == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif plain:
            lines[row] = f"{lines[row][:column]:<{column}}{plain}{lines[row][column + 1 :]}"
            column += 1
        elif letter == "A":
            row -= int(number or 1)
        elif letter == "G":
            column = int(number or 1) - 1
        elif letter == "K":
            assert number == "2"
            lines[row] = ""
        else:
            assert letter in ("m", ""), control
    return [line.rstrip() for line in lines]


def test_is_drawn_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "subject.py").write_text(PROLOGUE + textwrap.dedent(SUBJECT))
    args = ("--mps-threads=4", "--mps-device=cpu", "--mps-attempts=2", "--mps-perturb=off")
    text = on_a_terminal(tmp_path, *args)
    print(text)
    drawn = re.findall(r"item \d of 3, .*?failed so far[^\x1b]*", text)
    assert drawn[0] == "item 1 of 3, one thread alone, 0 items failed so far: Fine[a-t4]"
    assert "item 1 of 3, attempt 2 of 2, 0 items failed so far: Fine[a-t4]" in drawn
    assert any(
        re.match(r"item 2 of 3, attempt 1 of 2, 0 items failed so far, about \d+ (?:s|min) left: Fine", one)
        for one in drawn
    )
    assert any(one.startswith("item 3 of 3, attempt 2 of 2 (1 failed), ") for one in drawn)
    assert any("the one-thread control (2 failed)" in one for one in drawn)
    lines = screen(text)
    assert not any("so far" in line for line in lines)
    (letters,) = [line for line in lines if line.startswith("scenarios/subject.py ..M")]
    assert letters.endswith("[100%]")


@pytest.mark.parametrize(
    ("args", "environ", "is_a_terminal", "wanted"),
    [
        ([], {}, True, True),
        (["-v"], {}, True, True),
        (["-q"], {}, True, False),
        ([], {"CI": "true"}, True, False),
        ([], {"TERM": "dumb"}, True, False),
        ([], {}, False, False),
        (["-p", "no:terminal"], {}, True, False),
    ],
)
def test_is_wanted_where_somebody_looks(
    pytester: pytest.Pytester, args: list[str], environ: dict[str, str], is_a_terminal: bool, wanted: bool
) -> None:
    config = pytester.parseconfigure("-p", "no:run-parallel", *args)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.isatty = is_a_terminal
    assert progress.is_wanted(config, environ) is wanted


def test_is_not_wanted_in_a_worker(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfigure()
    config.pluginmanager.get_plugin("terminalreporter").isatty = True  # type: ignore[union-attr]
    assert progress.is_wanted(config, {})
    config.workerinput = {}  # type: ignore[attr-defined]
    assert not progress.is_wanted(config, {})


CONFTEST = """
from stress.plugin.terminal import progress
progress.LOGGED_EACH_S = 0.0
"""


class TestTheLogOfACi:
    @pytest.mark.parametrize(("ci", "more", "lines"), [("1", (), 3), ("1", ("-q",), 0), ("", (), 0)])
    def test_has_a_line_between_items(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, more: tuple[str, ...], lines: int
    ) -> None:
        (tmp_path / "conftest.py").write_text(CONFTEST)
        monkeypatch.setenv("CI", ci)
        ran = run_in(tmp_path, SUBJECT, "--mps-attempts=1", *more)
        found = [line for line in ran.text.splitlines() if line.startswith("mps: item ")]
        assert len(found) == lines
        if lines:
            assert found[0].startswith("mps: item 1 of 3, 0 items failed so far, about ")
            assert found[2].startswith("mps: item 3 of 3, 1 item failed so far, about ")
