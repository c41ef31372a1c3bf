"""Run upstream's own `test/test_mps.py` with one interpreter, test by test as far as crashes are concerned.

One pytest process runs all tests until one kills it or hangs; a journal says which, and the next process continues
after it. So a suite of ten thousand tests costs one start, and one more per crash. What came of each test is a record.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.commands.evidence import upstream_plugin
from stress.commands.session import session
from stress.model.errors import UserError
from stress.model.verdict import Verdict

COMMAND = "upstream-tests"
TEST_FILE = Path("test", "test_mps.py")
TEST_DEADLINE_S = 300.0
START_S_MAX = 300.0
"""How long importing torch and collecting may take, before the first test has a deadline."""
RESTARTS_MAX = 200
_PLUGIN = "mps_stress_upstream_plugin"
_POLL_S = 0.05
VERDICTS = {"passed": Verdict.PASS, "failed": Verdict.ERROR, "crash": Verdict.CRASH, "hang": Verdict.HANG}
"""A test that fails on one thread alone is an error, not a finding about threads."""


class UpstreamError(UserError):
    """The tests cannot be run; the text says why."""


@dataclass
class Suite:
    """What came of the tests under one interpreter."""

    python: str
    torch: dict[str, Any] = field(default_factory=dict)
    collected: int = 0
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Test -> (passed, failed, skipped, crash or hang; the line that matters)."""


def run_suite(python: str, tree: Path, deadline_s: float = TEST_DEADLINE_S) -> Suite:
    """Run all tests with this interpreter; raise `UpstreamError` where not even one can be started."""
    if not (tree / TEST_FILE).is_file():
        raise UpstreamError(f"--upstream-tests: {tree / TEST_FILE} is not there; give a PyTorch tree")
    suite = Suite(python)
    with tempfile.TemporaryDirectory(prefix="mps-stress-upstream-") as name:
        folder = Path(name)
        shutil.copyfile(upstream_plugin.__file__, folder / f"{_PLUGIN}.py")
        for number in range(RESTARTS_MAX):
            before = len(suite.outcomes)
            status, said = _session(suite, tree, folder, number, deadline_s)
            if suite.collected and len(suite.outcomes) >= suite.collected:
                break
            if len(suite.outcomes) == before:
                raise UpstreamError(f"--upstream-tests: {python} ran no test (status {status}): {said}")
    return suite


def _session(suite: Suite, tree: Path, folder: Path, number: int, deadline_s: float) -> tuple[int, str]:
    """Run one pytest process to its end, by itself or by ours; add what it did; return its status and last line."""
    journal, done, log = folder / f"{number}.jsonl", folder / "done.json", folder / f"{number}.log"
    journal.touch()
    done.write_text(json.dumps(list(suite.outcomes)))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST_"))}
    env |= {
        "PYTHONPATH": str(folder),
        upstream_plugin.JOURNAL_VARIABLE: str(journal),
        upstream_plugin.DONE_VARIABLE: str(done),
    }
    # The tree's own conftest.py and pytest.ini are written for one pinned pytest; the tests need neither.
    command = [suite.python, "-m", "pytest", "-q", "-p", _PLUGIN, "-p", "no:cacheprovider", "-c", os.devnull,
               f"--rootdir={tree / 'test'}", "--noconftest", TEST_FILE.name]  # fmt: skip
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command, cwd=tree / "test", env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise UpstreamError(
                f"--upstream-tests: {suite.python} cannot be started: {error.strerror}"
            ) from None
    try:
        hung = _watch(process, journal, deadline_s)
    finally:
        _kill(process)
    _add(suite, journal, process.returncode, hung)
    lines = log.read_text(errors="replace").strip().splitlines()
    return process.returncode, lines[-1][:300] if lines else "no text"


def _watch(process: subprocess.Popen[bytes], journal: Path, deadline_s: float) -> bool:
    """Wait for the process; return whether the test that was running took longer than its deadline, or none came."""
    size, since = 0, time.monotonic()
    while process.poll() is None:
        now = journal.stat().st_size
        if now != size:
            size, since = now, time.monotonic()
        elif time.monotonic() - since > (deadline_s if size else START_S_MAX):
            return True
        time.sleep(_POLL_S)
    return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    except PermissionError:  # macOS says so of a group whose processes are all gone
        process.kill()
    process.wait()


def _add(suite: Suite, journal: Path, status: int, hung: bool) -> None:
    running = None
    for line in journal.read_text().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # Torn: the process died while it wrote.
        if event["event"] == "collected":
            suite.collected, suite.torch = max(suite.collected, event["tests"]), event["torch"]
        elif event["event"] == "start":
            running = event["test"]
        else:
            known = suite.outcomes.get(event["test"], ("passed", ""))[0]
            if known in ("passed", "skipped"):  # a teardown that fails after a call that passed
                suite.outcomes[event["test"]] = (event["outcome"], event["text"])
            running = None if running == event["test"] else running
    if running is not None:
        named = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        suite.outcomes[running] = (
            ("hang", "no end before the deadline") if hung else ("crash", f"the process ended: {named}")
        )


def record_suite(suite: Suite, tree: Path, results: Path, role: str) -> Path:
    """Write what came of the tests as a run, and return its folder. Raise `RecordError` where that is impossible."""
    skipped = sum(outcome == "skipped" for outcome, _ in suite.outcomes.values())
    settings = {"role": role, "python": suite.python, "collected": suite.collected, "skipped": skipped}
    with session() as opened:
        writer = opened.open_records(
            COMMAND, results, seed=0, settings=settings, device="mps" if sys.platform == "darwin" else "none",
            rootdir=tree, argv=[str(TEST_FILE)], torch=suite.torch or None,
        )  # fmt: skip
        for test, (outcome, text) in suite.outcomes.items():
            if outcome in VERDICTS:
                verdict = VERDICTS[outcome]
                writer.write(
                    "item", item=f"upstream::{test}", verdict=str(verdict), seconds=0.0, attempts=1, counted=1,
                    failures=int(verdict is not Verdict.PASS), verdicts={str(verdict): 1}, headline=text,
                )  # fmt: skip
        opened.status = 0
    return writer.folder.path
