"""PyTorch's own tests of its MPS backend, a tree's test/test_mps.py, on the tree's own operators: from one thread.

    python -m benchmarks.core_torch_tests --pytorch=TREE [--tests=TEXT] [--out=FILE]

Some tests at a time run in a forked child. Each that does not pass there, as all of a child that ended, runs again in one of its
own, which counts: so one that ends the process ends no other, and none fails for what another left. The rate is of the tests that pass on a Mac
by the file's own lists: what they say must fail on this macOS, or is skipped, is counted apart. Each other failure has its
reason in core_torch_tests.toml; one that has none is listed. The tree must have been built: mps-stress core build
--pytorch=TREE --operators=tree. Exit status: 0 when each failure has a reason, 1 when not, 2 for bad input.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import unittest
from collections import Counter
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table

from stress.device.core import build as core
from stress.model.errors import BuildError
from stress.model.errors import UserError

MACOS_VERSION = 15.1
"""What the simulated Metal says by default, and the tests' lists ask for."""
MEMORY_BYTES = b"17179869184"
KINDS = ("passed", "failed", "ended", "late", "as_expected", "unexpected", "skipped")
COUNTED = ("passed", "failed", "ended", "late")
"""Of tests that pass on a Mac, by the file's lists."""
_SURE = ("passed", "skipped", "as_expected")
"""What a test that runs behind others is believed."""
_TESTS_AT_A_TIME = 16
REASONS = Path(__file__).with_suffix(".toml")
SIDES = ("ours", "apple", "tree", "torch")
_ABORT = re.compile(r"not simulated: (?P<what>.*)|failed assertion `(?P<rule>.*)'")
_DETAIL = re.compile(r"^(?:\w+\.)*(?:AssertionError|\w*Error|\w*Exception|\w*Warning)\b.*", re.MULTILINE)
_KILLED = "child ended with -9"
"""At its deadline."""
_REASON_CHARS = 140


@dataclass(frozen=True)
class Outcome:
    """What became of one test."""

    kind: str
    """One of `KINDS`; "ended": the process, "late": not done in time. Of tests that must fail on a Mac: "as_expected" when one
    does, by an error or the end of its process, "unexpected" when it passes."""
    reason: str = ""


@dataclass(frozen=True)
class Reason:
    """Why some tests do not pass: an entry of `REASONS`."""

    side: str
    """One of `SIDES`: who would have to change for them to pass."""
    why: str
    tests: tuple[str, ...]
    """Patterns of names, as "TestMPS.test_*"."""

    def covers(self, name: str) -> bool:
        return any(fnmatchcase(name.partition(".")[2], one) for one in self.tests)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--pytorch", metavar="TREE", required=True, help="root of a PyTorch source tree")
    parser.add_argument("--tests", metavar="TEXT", default="", help="tests whose name has this text")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="write each outcome there, one JSON object a line"
    )
    args = parser.parse_args(words)
    try:
        file = Path(args.pytorch) / "test" / "test_mps.py"
        if not file.is_file():
            raise UserError(f"there is no {file}: a release's sources have it")
        built = core.core_builder(args.pytorch, operators="tree").find()
        if built is None or built.python_module is None:
            raise UserError("this tree is not built: mps-stress core build --pytorch=TREE --operators=tree")
        with args.out.open("w", encoding="utf-8") if args.out else nullcontext() as out:
            outcomes = {}
            for name, one in run_all(file.resolve(), built.python_module, args.tests):
                outcomes[name] = one
                if out is not None:
                    print(json.dumps({"test": name, **asdict(one)}), file=out, flush=True)
    except (BuildError, UserError) as error:
        print(f"core_torch_tests: {error}", file=sys.stderr)
        return 2
    show(outcomes)
    return int(show_reasons(outcomes, read_reasons()))


def read_reasons() -> list[Reason]:
    """Return the entries of `REASONS`, in its order."""
    entries = tomllib.loads(REASONS.read_text(encoding="utf-8"))["reason"]
    return [Reason(one["side"], one["why"], tuple(one["tests"])) for one in entries]


def run_all(file: Path, library: Path, names: str) -> Iterator[tuple[str, Outcome]]:
    """Yield each test's name and outcome. The library is loaded here, and the device first used in the children."""
    import torch

    from benchmarks.sim_op_db import in_child
    from stress.device.core import loading
    from stress.model.spec import ChildSpec
    from stress.model.spec import CoreSpec

    torch.set_num_threads(1)
    loading.prepare(ChildSpec("probe", device="core"), CoreSpec(str(library)))
    for group in _groups(test for test in _tests(file) if names in test.id()):
        result = in_child(partial(_run_some, group))
        together = result if isinstance(result, list) else [None] * len(group)
        for test, found in zip(group, together, strict=True):
            outcome = found if found is not None and found.kind in _SURE else _run_alone(test)
            print(f"{test.id()}: {outcome.kind} {outcome.reason}", file=sys.stderr, flush=True)
            yield test.id(), outcome


def _groups(tests: Iterable[unittest.TestCase]) -> Iterator[list[unittest.TestCase]]:
    left = iter(tests)
    while group := list(islice(left, _TESTS_AT_A_TIME)):
        yield group


def _run_some(tests: Sequence[unittest.TestCase]) -> list[Outcome]:
    """Run tests one after another. For a child."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        return [_run(test, nowhere.fileno()) for test in tests]


def _run_alone(test: unittest.TestCase) -> Outcome:
    from benchmarks.sim_op_db import in_child

    with tempfile.TemporaryFile() as said:
        result = in_child(partial(_run, test, said.fileno()))
        said.seek(0)
        return _outcome(result, said.read().decode(errors="replace"), must_fail=_must_fail(test))


def show(outcomes: Mapping[str, Outcome]) -> None:
    """Print how many of each class passed."""
    by_class: dict[str, Counter[str]] = defaultdict(Counter)
    for name, one in outcomes.items():
        by_class[name.split(".")[1]][one.kind] += 1
    table = Table("class", *KINDS, "of those that pass on a Mac", box=None, pad_edge=False)
    whole: Counter[str] = Counter()
    for name, kinds in by_class.items():
        table.add_row(name, *(str(kinds[one]) for one in KINDS), _rate(kinds))
        whole.update(kinds)
    table.add_row("all", *(str(whole[one]) for one in KINDS), _rate(whole))
    Console(width=200).print(table)


def show_reasons(outcomes: Mapping[str, Outcome], reasons: Sequence[Reason]) -> bool:
    """Print why the tests that pass on a Mac do not here, and those for which no reason is known; return whether there are any."""
    failures = {name: one for name, one in outcomes.items() if one.kind in COUNTED and one.kind != "passed"}
    known: Counter[Reason] = Counter()
    unknown: Counter[str] = Counter()
    for name, one in failures.items():
        reason = next((each for each in reasons if each.covers(name)), None)
        if reason is not None:
            known[reason] += 1
        else:
            unknown[f"{name}: {one.kind}: {one.reason}"] += 1
    for side in SIDES:
        print(f"{sum(often for one, often in known.items() if one.side == side):5} {side}")
    for known_one, often in known.most_common():
        print(f"{often:5} {known_one.side}: {known_one.why}")
    for line in unknown:
        print(f"without a reason: {line}")
    return bool(unknown)


def _rate(kinds: Mapping[str, int]) -> str:
    ran = sum(kinds[one] for one in COUNTED)
    return f"{100 * kinds['passed'] / ran:.1f} %" if ran else ""


def _must_fail(test: unittest.TestCase) -> bool:
    """Tell whether the file says so, by unittest's own mark."""
    mark = "__unittest_expecting_failure__"
    method = getattr(test, test._testMethodName)
    return bool(getattr(test, mark, False) or getattr(method, mark, False))


def _tests(file: Path) -> Iterator[unittest.TestCase]:
    """Import the file, and yield its tests."""
    from torch.testing._internal import common_utils

    common_utils.MACOS_VERSION = MACOS_VERSION
    sys.path.insert(0, str(file.parent))
    argv, sys.argv = sys.argv, [str(file)]
    try:
        # It asks macOS how much memory there is.
        with mock.patch.object(subprocess, "check_output", return_value=MEMORY_BYTES):
            module = __import__(file.stem)
    finally:
        sys.argv = argv
    yield from _flat(unittest.defaultTestLoader.loadTestsFromModule(module))


def _flat(suite: Any) -> Iterator[unittest.TestCase]:
    for one in suite:
        if isinstance(one, unittest.TestCase):
            yield one
        else:
            yield from _flat(one)


def _run(test: unittest.TestCase, descriptor: int) -> Outcome:
    """Run one test. For a child."""
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    result = unittest.TestResult()
    test.run(result)
    for _, text in (*result.errors, *result.failures):
        return Outcome("failed", _reason(text))
    if result.unexpectedSuccesses:
        return Outcome("unexpected")
    if result.expectedFailures:
        return Outcome("as_expected", _reason(result.expectedFailures[0][1]))
    return Outcome("skipped" if result.skipped else "passed")


def _reason(text: str) -> str:
    """Return the first line of what was raised."""
    found = _DETAIL.findall(text)
    return (found[0] if found else text.strip().splitlines()[-1])[:_REASON_CHARS]


def _outcome(result: Any, said: str, *, must_fail: bool) -> Outcome:
    if isinstance(result, Outcome):
        return result
    found = _ABORT.search(said)
    reason = (found["what"] or found["rule"]) if found is not None else str(result)
    ended = "late" if str(result) == _KILLED else "ended"
    return Outcome("as_expected" if must_fail else ended, reason[:_REASON_CHARS])


if __name__ == "__main__":
    sys.exit(main())
