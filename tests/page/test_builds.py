"""What became of a failure over torch builds, and how soon one that was fixed and is back is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stress.commands.report.page import page_of
from stress.diagnose.signature_file import SignatureError
from stress.diagnose.signatures import load_signatures
from stress.model.torch_version import has_fix
from stress.model.torch_version import version_key
from stress.record.aggregate import read_folders
from stress.record.aggregate.groups import TorchBuild
from stress.record.aggregate.states import State
from stress.record.aggregate.states import StateWord
from stress.record.aggregate.states import sections_of
from stress.record.aggregate.states import state_of
from tests.made_records import MAC
from tests.made_records import TORCH
from tests.made_records import Made

ITEM = "scenarios/linear.py::SharedLinear[float32-t8]"
CANARY = "scenarios/canary.py::LostUpdate[t8]"
VERSIONS = ("2.7.1", "2.8.0", "2.9.0", "2.10.0")
BUILDS = [TorchBuild(one, "", "") for one in VERSIONS]


def _state(*counts: tuple[int, int] | None, fixed: str = "", missed: Sequence[int] = ()) -> State:
    """Return the state of an item with these failures and attempts on `BUILDS`."""
    by_build = [{"a": one} if one else {} for one in counts]
    trusted = [number not in missed for number in range(len(counts))]
    return state_of(by_build, BUILDS, trusted, fixed)


class TestState:
    def test_open_is_what_fails_on_the_newest_build_that_ran_it(self) -> None:
        assert _state((5, 60), (4, 60), None).word == StateWord.OPEN

    def test_fixed_needs_attempts_that_show_it(self) -> None:
        found = _state((20, 60), (0, 60), (0, 60))
        assert (found.word, found.build) == (StateWord.FIXED, BUILDS[1])
        assert found.p is not None
        assert found.p < 1e-6
        assert _state((1, 60), (0, 60)).word == StateWord.UNKNOWN

    def test_attempts_of_later_builds_add_up(self) -> None:
        assert _state((6, 60), (0, 30)).word == StateWord.UNKNOWN
        assert _state((6, 60), (0, 30), (0, 300)).build == BUILDS[1]

    def test_regressed_is_a_failure_after_it_was_shown_to_be_fixed(self) -> None:
        found = _state((20, 60), (0, 60), (3, 60), (9, 60))
        assert (found.word, found.build) == (StateWord.REGRESSED, BUILDS[2])

    def test_a_rare_failure_with_a_clean_build_between_is_open(self) -> None:
        assert _state((1, 60), (0, 60), (1, 60)).word == StateWord.OPEN

    def test_a_known_fix_makes_one_failure_a_regression(self) -> None:
        assert _state((1, 60), None, (1, 60), fixed="2.8.0").word == StateWord.REGRESSED
        assert _state((1, 60), None, (0, 60), fixed="2.8.0").word == StateWord.UNKNOWN

    def test_green_of_a_build_that_missed_a_canary_fixes_nothing(self) -> None:
        assert _state((20, 60), (0, 60), missed=[1]).word == StateWord.OPEN
        assert _state(None, (0, 60), missed=[1]).word == StateWord.UNKNOWN

    def test_another_mixture_of_items_is_no_fix(self) -> None:
        """`a` always fails and was hardly tried on the later build: added up, that would look like a fix."""
        by_build = [{"a": (40, 40), "b": (0, 40)}, {"b": (0, 400)}]
        assert state_of(by_build, BUILDS[:2], [True, True]).word == StateWord.UNKNOWN

    def test_never_seen(self) -> None:
        assert _state((0, 60), (0, 60)).word == StateWord.CLEAN
        assert _state(None, None).word == StateWord.UNKNOWN


class TestVersions:
    def test_are_in_the_order_in_which_they_came(self) -> None:
        order = ["2.8.0", "2.9.0.dev20250701", "2.9.0.dev20250801+cpu", "2.9.0rc1", "2.9.0", "2.10.0", "2.10.0.post1"]  # fmt: skip
        keys = [version_key(one) for one in order]
        assert keys == sorted(keys, key=lambda one: one or (0,) * 5)
        assert version_key("git") is None

    @pytest.mark.parametrize(
        ("version", "fixed", "answer"),
        [
            ("2.9.1", "2.9.0", True), ("2.8.0", "2.9.0", False), ("2.10.0", "2.9.0", True),
            ("2.9.0a0+git123", "2.9.0", None), ("2.10.0a0+git123", "2.9.0", True), ("2.8.0a0", "2.9.0", False),
            ("2.9.0.dev20250701", "2.9.0.dev20250801", False), ("2.9.0.dev20250901", "2.9.0.dev20250801", True),
            ("?", "2.9.0", None),
        ],
    )  # fmt: skip
    def test_that_must_have_a_fix(self, version: str, fixed: str, answer: bool | None) -> None:
        assert has_fix(version, fixed) is answer


def _run(folder: Path, version: str, number: int, failed: int, **more: Any) -> None:
    made = Made(folder, torch={**TORCH, "version": version}, time=1_795_000_000.0 + 86_400 * number, **more)
    # Not all at one end: clusters are another matter.
    for attempt in range(60):
        crashes = attempt % 3 == 0 and attempt // 3 < failed
        made.attempt(
            ITEM, "crash" if crashes else "pass", signature="metal/double-commit" if crashes else None
        )
    named = made.start(CANARY, canary=True)
    made.write("attempt_end", **named, verdict="mismatch", seconds=0.1, headline="")
    made.end()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    # 2.10 is written first: builds are in the order of their versions, not of runs or of letters.
    for number, (version, failed) in enumerate([("2.10.0", 0), ("2.7.1", 20), ("2.8.0", 0)]):
        _run(folder / f"mac{number}", version, number, failed)
    _run(folder / "m4", "2.10.0", 5, 4, environment={**MAC, "chip": "Apple M4", "macos": {"version": "15.5"}})
    return folder


class TestTheCommand:
    def test_says_per_machine_which_build_fails_and_since_when_it_is_fixed(self, runs: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "stress",
            "report",
            str(runs / "m4"),
            *map(str, sorted(runs.glob("mac*"))),
        ]
        env = {**os.environ, "COLUMNS": "120"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=runs, env=env)
        lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
        assert "scenario 2.7.1 2.8.0 2.10.0 state" in lines
        fixed = [line.partition(" (p ")[0] for line in lines]
        assert "scenarios/linear.py::SharedLinear[float32] 20/60 0/60 0/60 fixed in 2.8.0" in fixed
        assert "scenarios/linear.py::SharedLinear[float32] 4/60 open" in lines
        assert "metal/double-commit 20 2026-11-19 2026-11-19 2.7.1 fixed in 2.8.0" in fixed
        assert "Apple M4, macOS 15.5" in done.stdout
        assert "torch 2.8.0 (cf30153c4c): none of 1 item failed" in done.stdout

    def test_is_a_section_of_the_page(self, runs: Path) -> None:
        page, _ = page_of([runs], "made by a test")
        assert "Over torch builds" in page
        assert "fixed in 2.8.0" in page

    def test_a_section_per_machine_and_setting(self, runs: Path) -> None:
        sections = sections_of(read_folders([runs]), {})
        assert sorted(len(one.groups) for one in sections) == [1, 3]


class TestFixedInKnown:
    def _write(self, folder: Path, text: str) -> None:
        (folder / "own.toml").write_text(
            '[[signature]]\nid = "own/a"\nmeaning = "It breaks."\nlinks = []\npattern = "breaks"\n' + text
        )

    def test_one_that_is_back_says_so(self, tmp_path: Path) -> None:
        self._write(tmp_path, '[[fixed]]\nid = "own/a"\nin = "2.8.0"\nlink = "https://x.org/1"\n')
        (one,) = load_signatures([tmp_path])
        assert one.returned("2.9.0") == "REGRESSED: fixed in torch 2.8.0 (results/known), and back on 2.9.0"
        assert one.returned("2.7.1") == one.returned("2.8.0a0+git1") == one.returned("") == ""

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ('[[fixed]]\nid = "own/b"\nin = "2.8.0"\n', "no signature has the id 'own/b'"),
            ('[[fixed]]\nid = "own/a"\nin = "soon"\n', "in must be a version of torch"),
            ('[[fixed]]\nid = "own/a"\n', "expected a table of id, in, and perhaps link"),
            ('[[fixed]]\nid = "own/a"\nin = "2.8.0"\nlink = "x"\n', "link must start with https://"),
        ],
    )
    def test_what_is_wrong_is_refused(self, tmp_path: Path, text: str, why: str) -> None:
        self._write(tmp_path, text)
        with pytest.raises(SignatureError, match=why):
            load_signatures([tmp_path])

    def test_a_shipped_one_may_be_fixed_for_a_user_and_his_run_says_so_at_once(self, tmp_path: Path) -> None:
        known = tmp_path / "results" / "known"
        known.mkdir(parents=True)
        (known / "mine.toml").write_text('[[fixed]]\nid = "metal/double-commit"\nin = "1.0.0"\n')
        (tmp_path / "test_back.py").write_text(
            "import os, sys\n"
            "from stress import Scenario\n\n\n"
            "class Back(Scenario):\n"
            "    requires = ()\n\n"
            "    def setup(self, device):\n        return None\n\n"
            "    def step(self, state, x):\n"
            '        sys.stderr.write("commit an already committed command buffer\\n")\n'
            "        sys.stderr.flush()\n"
            "        os.abort()\n"
        )
        command = [sys.executable, "-m", "pytest", "test_back.py", "--mps-threads=2", "--mps-device=cpu", "--mps-attempts=1",
                   "-p", "no:cacheprovider"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert "REGRESSED: fixed in torch 1.0.0 (results/known), and back on " in done.stdout, done.stdout
