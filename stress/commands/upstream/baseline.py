"""What is known of a tree's tests on a device: a JSON file, with a reason for each failure where somebody has looked.

Outcomes of runs from threads add up as long as torch stays the same: a race that showed once in ten attempts is known.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.commands import CommandError
from stress.commands.upstream.outcomes import GREEN
from stress.commands.upstream.outcomes import PASSED
from stress.commands.upstream.outcomes import SuiteOutcome

SHIPPED = Path(__file__).with_name("baselines")
_SECONDS_DIGITS = 2


@dataclass(frozen=True)
class Reason:
    """Why tests fail or differ here."""

    tests: str
    """Pattern of their names, as `fnmatch` has it."""
    reason: str
    about: str = "device"
    """"metal": the test is about Metal itself, which this device has not; "threads": why it fails from threads only; "torch":
    the tree's test and this torch differ; "device": the device is at fault."""

    def covers(self, test: str, *, from_threads: bool) -> bool:
        return (self.about == "threads") == from_threads and fnmatch.fnmatchcase(test, self.tests)


@dataclass
class SuiteBaseline:
    """Everything that is known."""

    tree: str = ""
    device: str = ""
    torch: str = ""
    threads: int = 0
    iterations: int = 0
    made: str = ""
    reasons: list[Reason] = field(default_factory=list)
    tests: dict[str, SuiteOutcome] = field(default_factory=dict)
    path: Path | None = None

    def reason(self, test: str, *, from_threads: bool = False) -> Reason | None:
        return next((one for one in self.reasons if one.covers(test, from_threads=from_threads)), None)

    def write(self, path: Path, now: Mapping[str, SuiteOutcome]) -> None:
        """Write it with what came of tests now; raise `CommandError` where that is impossible."""
        tests = {name: _merged(self.tests.get(name), one) for name, one in now.items()}
        tests = {**self.tests, **tests}
        data = {
            "tree": self.tree,
            "device": self.device,
            "torch": self.torch,
            "threads": self.threads,
            "iterations": self.iterations,
            "made": self.made,
            "reasons": [asdict(one) for one in self.reasons],
        }
        body = ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(_data(one))}" for name, one in sorted(tests.items())
        )
        head = json.dumps(data, indent=1)[:-2]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'{head},\n "tests": {{\n{body}\n }}\n}}\n', encoding="utf-8")
        except OSError as error:
            raise CommandError(f"--write-baseline: cannot write {path}: {error.strerror}") from None


def place(baseline: Path | None, tree: str, device: str, folder: Path) -> tuple[Path, Path | None]:
    """Return where a baseline is written, and where the known one is, if there is one. `folder` has the user's own."""
    name = f"pytorch-{tree}-{device}.json"
    own = baseline or folder / name
    known = next((one for one in (own, *(() if baseline else (SHIPPED / name,))) if one.is_file()), None)
    return own, known


def read(path: Path) -> SuiteBaseline:
    """Return what the file says; raise `CommandError` where it is no baseline."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        tests = {str(name): _outcome(one) for name, one in data.pop("tests").items()}
        reasons = [Reason(**one) for one in data.pop("reasons")]
        return SuiteBaseline(**data, reasons=reasons, tests=tests, path=path)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CommandError(f"{path} is no baseline of mps-stress upstream: {error}") from None


def _merged(was: SuiteOutcome | None, now: SuiteOutcome) -> SuiteOutcome:
    if was is None or not now.threads or not was.threads:
        return now
    failed = now if now.failures else was
    return SuiteOutcome(
        now.alone,
        now.text or was.text if now.fails_alone == was.fails_alone else now.text,
        now.alone_s,
        failed.threads if was.failures + now.failures else now.threads,
        now.threads_s,
        was.failures + now.failures,
        was.attempts + now.attempts,
    )


def _data(one: SuiteOutcome) -> dict[str, Any]:
    """Return what differs from a test that passes, alone and from threads."""
    data: dict[str, Any] = {"s": [round(one.alone_s, _SECONDS_DIGITS), round(one.threads_s, _SECONDS_DIGITS)]}
    if one.alone != PASSED:
        data["alone"] = one.alone
    if one.threads != GREEN:
        data["threads"] = one.threads
    if one.text:
        data["text"] = one.text
    return {**data, "failures": [one.failures, one.attempts]}


def _outcome(data: Mapping[str, Any]) -> SuiteOutcome:
    alone_s, threads_s = map(float, data["s"])
    failures, attempts = map(int, data["failures"])
    return SuiteOutcome(
        str(data.get("alone", PASSED)), str(data.get("text", "")), alone_s, str(data.get("threads", GREEN)), threads_s,
        failures, attempts,
    )  # fmt: skip
