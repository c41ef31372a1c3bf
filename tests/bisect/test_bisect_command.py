"""`mps-stress bisect` as a user runs it: over commands, over interpreters, over commits; and what it refuses."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from stress.commands import CommandError
from stress.commands.bisect.builds import Command
from stress.commands.bisect.builds import CommitBuild
from stress.commands.bisect.builds import commits
from stress.commands.bisect.search import Batch
from stress.commands.cli import main
from stress.commands.replay.failure_kind import FailureKind

PYTHON = shlex.quote(sys.executable)
ALWAYS, NEVER = "exit 1", "exit 0"
DRAWN = (
    "import json, os, random; n = int(os.environ['MPS_STRESS_ATTEMPTS']); "
    "print('some words'); print(json.dumps({'attempts': n, 'failures': sum(random.random() < RATE for _ in range(n))}))"
)


def drawn(rate: float) -> str:
    return f"{PYTHON} -c {shlex.quote(DRAWN.replace('RATE', str(rate)))}"


class TestCommands:
    def test_finds_the_first_bad_one(self, capsys: pytest.CaptureFixture[str]) -> None:
        between = [f"--build=b{index}={ALWAYS if index >= 4 else NEVER}" for index in range(2, 6)]
        status = main(["bisect", f"--good=b1={NEVER}", *between, f"--bad=b6={ALWAYS}", "--confidence=0.9"])
        out = capsys.readouterr().out
        assert status == 0
        assert "6 builds, from b1 (good) to b6 (bad)" in out
        assert "FIRST BAD: b4; the one before it, b3, is good" in out

    def test_counts_what_a_command_says_that_it_made(self, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = [f"--good=a={drawn(0)}", f"--build=b={drawn(0)}", f"--bad=c={drawn(0.4)}"]
        assert main(["bisect", *arguments]) == 0
        assert "FIRST BAD: c; the one before it, b, is good" in capsys.readouterr().out

    def test_exit_status_125_cannot_tell(self) -> None:
        assert Command("x", "exit 125").run(5) is None
        assert Command("x", "no-such-program-anywhere 2>&1").run(5) is None

    @pytest.mark.parametrize(
        "said",
        ["no JSON", '{"attempts": 0, "failures": 0}', '{"attempts": 2, "failures": 3}', "[1]", '{"n": 3}'],
    )
    def test_anything_else_is_one_attempt(self, said: str) -> None:
        assert Command("x", f"echo {shlex.quote(said)}; exit 3").run(5) == Batch(1, 1)
        assert Command("x", f"echo {shlex.quote(said)}").run(5) == Batch(0, 1)

    def test_no_answer_is_status_1(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["bisect", f"--good=a={NEVER}", f"--bad=b={NEVER}", "--seconds=0.3"]) == 1
        assert "which should be bad, failed as recorded" in capsys.readouterr().out


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["--good=python3", "--bad=python3"], "RUN/17 is missing"),
            (["--good=/no/such/python", "--bad=b=x"], "--good=/no/such/python: expected an interpreter, or NAME=COMMAND"),
            (["--good=a=x", "--bad=b=x", "--confidence=1"], "--confidence=1: expected a probability"),
            (["1/1", "--good=a", "--bad=b", "--commits=/no/such/tree"], "--commits=/no/such/tree: no such folder"),
            (["1/1", "--good=a", "--bad=b", "--build=c", "--commits=."], "--build=c: with --commits"),
            (["1/1", "--good=a=x", "--bad=b=x", "--force"], "--force: only for commits"),
        ],
    )  # fmt: skip
    def test_bad_input(self, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["bisect", *arguments]) == 2
        assert text in capsys.readouterr().err


SCENARIO = '''
"""Fails on purpose where the interpreter says so, in half of the attempts."""
import os
import torch
from stress import Scenario


class Wrong(Scenario):
    iterations = 2

    def make_input(self, generator):
        return torch.randn(4, generator=generator)

    def step(self, state, x):
        import threading
        planted = os.environ.get("PLANTED") and threading.current_thread() is not threading.main_thread()
        return x + 2 if planted and os.urandom(1)[0] < 128 else x + 1
'''


@pytest.mark.slow
def test_interpreters_run_the_recorded_attempt(tmp_path: Path) -> None:
    """Four interpreters, of which the last two have the failure: each is a wrapper around this one."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "wrong.py").write_text(SCENARIO)
    pythons = []
    for name, planted in (("one", ""), ("two", ""), ("three", "1"), ("four", "1")):
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\nPLANTED={planted} exec {PYTHON} "$@"\n')
        path.chmod(0o755)
        pythons.append(str(path))
    made = subprocess.run(
        [pythons[3], "-m", "pytest", "scenarios", "--mps-threads=2", "--mps-device=cpu", "--mps-attempts=6", "-q"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    attempts = [line for line in made.stdout.splitlines() if "mps-stress replay" in line]
    assert attempts, made.stdout + made.stderr
    attempt = attempts[0].split("mps-stress replay ")[1].split()[0]
    done = subprocess.run(
        [sys.executable, "-m", "stress", "bisect", attempt, f"--good={pythons[0]}", f"--build={pythons[1]}",
         f"--build={pythons[2]}", f"--bad={pythons[3]}", "--confidence=0.9"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"FIRST BAD: {pythons[2]}; the one before it, {pythons[1]}, is good" in done.stdout


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def history(tree: Path, length: int) -> Path:
    tree.mkdir()
    git(tree, "init", "-q", "-b", "main")
    for number in range(length):
        (tree / "file").write_text(str(number))
        git(tree, "add", "file")
        git(tree, "commit", "-q", "-m", f"number {number}")
    return tree


class TestCommitsAreBuilt:
    """The interpreter is a script: it refuses to build the tree without --force, as for a tree of another version."""

    PYTHON = """#!/bin/sh
echo "$*" >> "$0.calls"
case "$*" in
*"core build"*--force*) echo built ;;
*"core build"*) echo "another version than torch; with --force, mps-stress core build tries" >&2; exit 2 ;;
*) echo "replay: not built" >&2; exit 2 ;;
esac
"""

    @pytest.fixture
    def python(self, tmp_path: Path) -> Path:
        path = tmp_path / "python"
        path.write_text(self.PYTHON)
        path.chmod(0o755)
        return path

    def test_before_they_run_and_as_forced(
        self, tmp_path: Path, python: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tree = history(tmp_path / "tree", 2)
        build = CommitBuild("tree", force=True)
        with commits(tree, "HEAD~1", "HEAD", [str(python), "1/1"], FailureKind("crash"), build) as found:
            found[1].run(5)
            found[1].run(5)
        first, second, again = (tmp_path / "python.calls").read_text().splitlines()
        assert first.startswith("-m stress core build --pytorch=")
        assert first.endswith(" --operators=tree --force")
        assert second.startswith("-m stress replay 1/1 --pytorch=")
        assert again == second, "it is built once, however often it is attempted"
        assert re.search(r"number 1: ready after \d+ s$", capsys.readouterr().err, re.MULTILINE)

    def test_one_that_cannot_be_built_is_passed_over_with_the_way_out(
        self, tmp_path: Path, python: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tree = history(tmp_path / "tree", 2)
        build = CommitBuild("cpu", force=False)
        with commits(tree, "HEAD~1", "HEAD", [str(python), "1/1"], FailureKind("crash"), build) as found:
            assert found[1].run(5) is None
        said = capsys.readouterr().err
        assert "number 1 cannot be built: another version than torch; with --force" in said
        assert len((tmp_path / "python.calls").read_text().splitlines()) == 1


def test_good_must_lie_on_the_line_of_bad(tmp_path: Path) -> None:
    """A release branch: what was mended there alone would be laid to the first commit after the fork."""
    tree = history(tmp_path / "tree", 3)
    git(tree, "checkout", "-q", "-b", "release", "HEAD~1")
    git(tree, "commit", "-q", "--allow-empty", "-m", "mended here alone")
    fork = subprocess.run(
        ["git", "-C", tree, "rev-parse", "main~1"], capture_output=True, text=True, check=True
    )
    with (
        pytest.raises(CommandError, match=f"--good=release: .*{fork.stdout[:10]}"),
        commits(tree, "release", "main", ["python"], FailureKind("crash"), CommitBuild("cpu", force=False)),
    ):
        pass


def test_a_revision_that_is_none_is_named(tmp_path: Path) -> None:
    tree = history(tmp_path / "tree", 2)
    build = CommitBuild("cpu", force=False)
    for good, bad, option in (("nope", "HEAD", "--good=nope"), ("HEAD~1", "v9", "--bad=v9")):
        with (
            pytest.raises(CommandError, match=f"{option}: no such commit of"),
            commits(tree, good, bad, ["python"], FailureKind("crash"), build),
        ):
            pass


def test_commits_share_a_work_tree_that_is_removed(tmp_path: Path) -> None:
    tree = history(tmp_path / "tree", 3)
    build = CommitBuild("cpu", force=False)
    with commits(tree, "HEAD~2", "HEAD", ["python"], FailureKind("crash"), build) as found:
        assert [one.name.partition(" ")[2] for one in found] == ["number 0", "number 1", "number 2"]
        listed = subprocess.run(
            ["git", "-C", tree, "worktree", "list"], capture_output=True, text=True, check=True
        )
        assert len(listed.stdout.splitlines()) == 2
    listed = subprocess.run(
        ["git", "-C", tree, "worktree", "list"], capture_output=True, text=True, check=True
    )
    assert len(listed.stdout.splitlines()) == 1


def test_git_variables_of_a_hook_do_not_lead_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`git rebase --exec` sets them: bisect would check its commits out in the user's own repository."""
    tree, other = history(tmp_path / "tree", 2), history(tmp_path / "other", 1)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    build = CommitBuild("cpu", force=False)
    with commits(tree, "HEAD~1", "HEAD", ["python"], FailureKind("crash"), build) as found:
        assert [one.name.partition(" ")[2] for one in found] == ["number 0", "number 1"]
