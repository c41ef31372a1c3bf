"""Upstream's own tests under two interpreters: crashes and hangs cost one test each, and differences are told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stress.commands.evidence.document import document_of
from stress.commands.evidence.options import EvidenceOptions
from stress.commands.evidence.upstream import COMMAND
from stress.commands.evidence.upstream import UpstreamError
from stress.commands.evidence.upstream import run_suite
from stress.commands.evidence.upstream_results import UpstreamTests
from stress.record.aggregate import read_folders
from tests.made_records import Made
from tests.made_records import run_of

SUITE = """\
import os, time, unittest

STOCK = "STOCK_TORCH" in os.environ

class TestMPS(unittest.TestCase):
    def test_a_passes(self): pass
    def test_b_crashes(self):
        if not STOCK: os.abort()
    def test_c_fails(self): self.assertEqual(1, 2)
    @unittest.skip("not here")
    def test_d_is_skipped(self): pass
    def test_e_hangs(self):
        if {hangs}: time.sleep(1000)
    def test_f_passes(self): pass
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a tree whose suite behaves like another build under an interpreter that is called stock."""
    folder = tmp_path / "pytorch"
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "test_mps.py").write_text(SUITE.format(hangs=False))
    (folder / "test" / "conftest.py").write_text("raise SystemExit('for another pytest')\n")
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    return folder


@pytest.fixture
def stock(tmp_path: Path) -> str:
    """Return a second interpreter: this one, under another name and with a mark in its environment."""
    script = tmp_path / "stock-python"
    script.write_text(f'#!/bin/sh\nSTOCK_TORCH=1 exec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return str(script)


def test_a_crash_costs_one_test(tree: Path) -> None:
    suite = run_suite(sys.executable, tree)
    assert suite.collected == 6
    assert {test.rpartition("::")[2]: outcome for test, (outcome, _) in suite.outcomes.items()} == {
        "test_a_passes": "passed",
        "test_b_crashes": "crash",
        "test_c_fails": "failed",
        "test_d_is_skipped": "skipped",
        "test_e_hangs": "passed",
        "test_f_passes": "passed",
    }
    crash = next(text for outcome, text in suite.outcomes.values() if outcome == "crash")
    assert crash == "the process ended: SIGABRT"


def test_a_hang_costs_one_test(tree: Path) -> None:
    """Nor does a slow import of torch, which comes before the first test, use up that test's time."""
    imports = "import time\ntime.sleep(2.5)\n"
    (tree / "test" / "test_mps.py").write_text(
        imports + SUITE.format(hangs=True).replace("os.abort()", "pass")
    )
    suite = run_suite(sys.executable, tree, deadline_s=2.0)
    assert [outcome for outcome, _ in suite.outcomes.values()].count("hang") == 1
    assert len(suite.outcomes) == 6


@pytest.mark.parametrize(
    ("python", "source", "text"),
    [
        ("/nothing/python", SUITE, "cannot be started"),
        (sys.executable, "raise ImportError('no torch')\n", "ran no test"),
    ],
)
def test_what_cannot_be_run_is_an_error(tree: Path, python: str, source: str, text: str) -> None:
    (tree / "test" / "test_mps.py").write_text(source)
    with pytest.raises(UpstreamError, match=text):
        run_suite(python, tree)


def test_differences_stand_in_the_document(tree: Path, stock: str, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", {"a.py::S[t8]": {"pass": 5}})
    asked = EvidenceOptions(
        (run,),
        tree=tree,
        upstream=(("stock", stock), ("patched", sys.executable)),
        results=tmp_path / "results",
    )
    text = document_of(asked, "made now")
    assert "1 test with a different outcome; 1 test pass on stock torch only." in text
    assert (
        "| `upstream::test_mps.py::TestMPS::test_b_crashes` | pass | crash | `the process ended: SIGABRT` |"
        in text
    )
    assert "| upstream's own tests pass as before | not met | 1 test pass on stock torch only |" in text
    again = document_of(EvidenceOptions((run, tmp_path / "results")), "made later")
    assert "1 test with a different outcome" in again


def test_a_test_that_only_the_stock_build_ran_is_lost(tmp_path: Path) -> None:
    """A patched build that died half way has not passed the rest."""
    collected = UpstreamTests()
    for role, tests in (("stock", ("a", "b")), ("patched", ("a",))):
        made = Made(tmp_path / role, command=COMMAND, settings={"role": role})
        for one in tests:
            made.item(f"upstream::test_mps.py::TestMPS::{one}", "pass", 1, 0)
        made.end()
    read_folders([tmp_path], {COMMAND: collected.add})
    assert collected.lost == ["upstream::test_mps.py::TestMPS::b"]
    assert "1 test pass on stock torch only" in collected.section()
