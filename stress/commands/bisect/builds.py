"""The builds between which a failure came in: interpreters, commands, or commits of a PyTorch tree; each runs some attempts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from stress.commands import CommandError
from stress.commands.bisect.search import Batch
from stress.commands.exit_status import EXIT_USAGE
from stress.commands.replay.failure_kind import FailureKind
from stress.commands.session import say
from stress.record import RecordError
from stress.record import read_run
from stress.record.machine import run_git

CANNOT_TELL = (125, 126, 127)
"""Exit statuses of a command that say nothing of the failure, as `git bisect run` has them: skip, and the shell's own two."""
ATTEMPTS_VARIABLE = "MPS_STRESS_ATTEMPTS"
"""Tells a command how many attempts are asked for; it may make fewer."""
_PACKAGE_PARENT = Path(__file__).parents[3]
_RECORDS = re.compile(r"^records: (.+)$", re.MULTILINE)
_WORDS_SHOWN = 300


class BisectedBuild(Protocol):
    """One build."""

    @property
    def name(self) -> str: ...

    def run(self, attempts: int) -> Batch | None:
        """Make up to so many attempts; None where this build cannot run them."""


@dataclass(frozen=True)
class Command:
    """A command of the user's. Its exit status is one attempt: 0 passes, 125 cannot tell, any other one fails.

    A command that makes several says so in its last line on stdout: `{"attempts": 20, "failures": 1}`.
    """

    name: str
    command: str

    def run(self, attempts: int) -> Batch | None:
        done = subprocess.run(
            self.command,
            shell=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, ATTEMPTS_VARIABLE: str(attempts)},
            check=False,
        )
        if done.returncode in CANNOT_TELL:
            return None
        return _told(done.stdout.decode(errors="replace")) or Batch(int(done.returncode != 0), 1)


def _told(output: str) -> Batch | None:
    lines = output.rstrip().splitlines()
    try:
        data = json.loads(lines[-1]) if lines else None
        failures, n = (data["failures"], data["attempts"]) if isinstance(data, dict) else (None, None)
    except (ValueError, KeyError):
        return None
    if not (isinstance(failures, int) and isinstance(n, int) and 0 <= failures <= n and n):
        return None
    return Batch(failures, n)


@dataclass(frozen=True)
class Replayed:
    """A build that `mps-stress replay` runs the recorded attempt with; only the recorded failure counts."""

    name: str
    arguments: tuple[str, ...]
    """Interpreter first; what follows `replay`, but for the number of attempts."""
    wanted: FailureKind

    def run(self, attempts: int) -> Batch | None:
        python, *rest = self.arguments
        done = _stress(python, "replay", *rest, f"--attempts={attempts}")
        records = _RECORDS.findall(done.stdout)
        if done.returncode == EXIT_USAGE or not records:
            _say_failed(self.name, "run it", done)
            return None
        return self._counted(Path(records[-1]))

    def _counted(self, folder: Path) -> Batch:
        try:
            kinds = [
                FailureKind.of(one)
                for one in read_run(folder)
                if one["kind"] == "attempt_end" and one["role"] != "reference" and not one.get("amends")
            ]
        except RecordError as error:
            raise CommandError(str(error)) from None
        return Batch(sum(one == self.wanted for one in kinds), len(kinds))


def _stress(python: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this package with another interpreter."""
    paths = [str(_PACKAGE_PARENT), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [python, "-m", "stress", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        check=False,
    )


def _say_failed(name: str, what: str, done: subprocess.CompletedProcess[str]) -> None:
    words = (done.stderr or done.stdout).strip()[-_WORDS_SHOWN:]
    say(f"{name} cannot {what}: {words}")


@dataclass(frozen=True)
class CommitBuild:
    """How the core of a commit is built."""

    operators: str
    """The recorded core's: "cpu", or "tree"."""
    force: bool
    """Also those of another version than torch, and with a half-applied patch."""


class Commit:
    """A commit of a PyTorch tree, whose core is built when it is looked at, in a work tree that all commits share."""

    def __init__(
        self,
        checkout: Path,
        commit: str,
        title: str,
        arguments: Sequence[str],
        wanted: FailureKind,
        build: CommitBuild,
    ) -> None:
        self._checkout, self._commit, self._build = checkout, commit, build
        self._python = arguments[0]
        self.name = f"{commit[:10]} {title}".rstrip()
        self._replayed = Replayed(self.name, (*arguments, f"--pytorch={checkout}"), wanted)

    def run(self, attempts: int) -> Batch | None:
        _git(self._checkout, "checkout", "--quiet", "--detach", self._commit)
        return self._replayed.run(attempts) if self._is_built else None

    @cached_property
    def _is_built(self) -> bool:
        """Build the core, or find it in the cache, once; replay takes what is there, whether or not it was forced."""
        say(f"{self.name}: its core is built, or found in the cache")
        began_s = time.monotonic()
        of = [f"--pytorch={self._checkout}", f"--operators={self._build.operators}"]
        done = _stress(self._python, "core", "build", *of, *(["--force"] if self._build.force else []))
        if done.returncode:
            _say_failed(self.name, "be built", done)
        else:
            say(f"{self.name}: ready after {time.monotonic() - began_s:.0f} s")
        return not done.returncode


@contextmanager
def commits(
    tree: Path, good: str, bad: str, arguments: Sequence[str], wanted: FailureKind, build: CommitBuild
) -> Iterator[list[Commit]]:
    """Give the commits from `good` to `bad`, along first parents; their work tree is removed afterwards."""
    for option, revision in (("--good", good), ("--bad", bad)):
        if not _git(tree, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", failing=True):
            raise CommandError(f"{option}={revision}: no such commit of {tree}")
    listed = _git(tree, "log", "--first-parent", "--reverse", "--format=%H %s", f"{good}..{bad}").splitlines()
    first = _git(tree, "log", "-1", "--format=%H %s", good).splitlines()
    if not listed:
        raise CommandError(f"--good={good}: no commit of {tree} lies between it and {bad}")
    fork = _git(tree, "rev-parse", f"{listed[0].partition(' ')[0]}^").strip()
    if not first[0].startswith(fork):
        # What was mended on a release branch alone would be laid to the first commit after the fork.
        raise CommandError(
            f"--good={good}: it is none of the first parents of {bad}; give {fork[:10]}, where their histories part, "
            "if that one is good"
        )
    with tempfile.TemporaryDirectory(prefix="mps-stress-bisect-") as name:
        checkout = Path(name) / "pytorch"
        _git(tree, "worktree", "add", "--quiet", "--detach", str(checkout), good)
        try:
            yield [
                Commit(checkout, commit, title, arguments, wanted, build)
                for commit, _, title in (line.partition(" ") for line in (*first, *listed))
            ]
        finally:
            _git(tree, "worktree", "remove", "--force", str(checkout))


def _git(folder: Path, *arguments: str, failing: bool = False) -> str:
    """Return what git prints; raise `CommandError` where it fails, unless it may."""
    try:
        done = run_git(folder, *arguments)
    except OSError as error:
        raise CommandError(f"git cannot be run: {error.strerror}") from None
    if done.returncode and not failing:
        words = done.stderr.decode("utf-8", "replace").strip()[-_WORDS_SHOWN:]
        raise CommandError(f"git {' '.join(arguments)}: {words}")
    return done.stdout.decode("utf-8", "replace")
