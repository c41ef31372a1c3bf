#!/usr/bin/env python3
"""`make core`: a PyTorch release's own MPS backend on simulated Metal, from the download to one line that says what it came to.

    tools/check_core.py TREE [--runs=1] [--seconds=220] [--outcome=FILE]

TREE is fetched from Debian where it is missing (`fetch_pytorch.py`, which says first what it downloads), and built. The
shipped scenarios run on it; what fails is compared with `core_failures.toml`, the list of failures that are understood.
The items on the list run first, in a run of their own without a time budget; then all others, for S seconds.
Then each bug of `benchmarks/real_bugs` is looked for in it, and in a copy with the fixes.

Red are: a failure that is not on the list, one on the list that is gone although it follows from no chance, a bug of
one thread that does not show, or one that shows after its fix. What chance may hide is not. Exit status: 0
when all is as expected, 1 when not, 2 for bad input, 3 when it could not be checked here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from stress.commands.core.build import about  # noqa: E402
from stress.device.core.build import CoreBuilder  # noqa: E402
from stress.device.core.build import core_builder  # noqa: E402
from stress.model.errors import BuildError  # noqa: E402
from stress.model.errors import OptionError  # noqa: E402
from stress.model.verdict import Verdict  # noqa: E402
from tools import core_items  # noqa: E402
from tools import fetch_pytorch  # noqa: E402
from tools.core_items import LISTED  # noqa: E402
from tools.core_items import OTHERS  # noqa: E402

AS_EXPECTED, NOT_AS_EXPECTED, BAD_INPUT, NOT_CHECKED = 0, 1, 2, 3
WORTH = (
    "What was checked is the host code of ATen/mps, the copies, views and caches of ATen/native/mps, and torch/csrc/mps of "
    "PyTorch {version},\ncompiled for Linux over a simulated Metal. Silence is worth something for these files alone: not for "
    "the operators' shaders,\nMPSGraph, Apple's Metal and libdispatch, or a GPU."
)
DEADLINES_S = {LISTED: 15, OTHERS: 25}
"""Of an attempt; a reference has twice as long, and that of ElapsedTime, which is on the list, is known to take all of it."""
_OUT_OF_TIME = "time budget spent"
_HEADLINE_CHARS = 110


class ListError(ValueError):
    """The list of expected failures cannot be used; the text says why."""


@dataclass(frozen=True)
class Expected:
    """A failure of an item that is understood."""

    item: str
    """Class and parameters, as in `Linear[t8]`."""
    verdicts: tuple[str, ...]
    """Any of them."""
    by_chance: bool
    """Whether the item may pass, too: then its silence is no surprise."""
    why: str
    issues: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What became of an item."""

    verdict: str
    """Empty where it was skipped."""
    text: str
    """The headline, or why it was skipped."""

    @property
    def has_failed(self) -> bool:
        return bool(self.verdict) and not Verdict(self.verdict).is_green

    @property
    def is_out_of_time(self) -> bool:
        return not self.verdict and self.text.startswith(_OUT_OF_TIME)


@dataclass(frozen=True)
class Line:
    """One item of which something is to be said."""

    word: str
    item: str
    text: str
    is_red: bool = False


def load(path: Path = core_items.LIST) -> tuple[Expected, ...]:
    """Return the list of expected failures; raise `ListError`."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("failure", [])
    found = []
    for entry in entries:
        try:
            verdicts = tuple(str(Verdict(one)) for one in entry["verdicts"])
            found.append(
                Expected(
                    entry["item"], verdicts, bool(entry["by_chance"]), entry["why"], tuple(entry["issues"])
                )
            )
        except (KeyError, ValueError, TypeError) as error:
            raise ListError(
                f"{path.name}: {entry.get('item', 'an entry without an item')}: {error}"
            ) from None
    twice = [name for name, count in Counter(one.item for one in found).items() if count > 1]
    if twice:
        raise ListError(f"{path.name}: {twice[0]} stands there twice")
    return tuple(found)


def compared(seen: Mapping[str, Seen], expected: Sequence[Expected]) -> list[Line]:
    """Return a line for each failure and each expected one, what is red first."""
    by_item = {one.item: one for one in expected}
    lines = [_line_of_failure(item, one, by_item.get(item)) for item, one in seen.items() if one.has_failed]
    lines += [
        _line_of_absence(one, seen.get(one.item))
        for one in expected
        if one.item not in seen or not seen[one.item].has_failed
    ]
    return sorted(lines, key=lambda line: not line.is_red)


def _line_of_failure(item: str, seen: Seen, expected: Expected | None) -> Line:
    word, headline = seen.verdict.upper(), seen.text.partition("\n")[0][:_HEADLINE_CHARS]
    if expected is None:
        return Line("NEW", item, f"{word}: {headline}", is_red=True)
    if seen.verdict not in expected.verdicts:
        wanted = " or ".join(one.upper() for one in expected.verdicts)
        return Line("OTHER", item, f"{word}, expected {wanted}: {headline}", is_red=True)
    return Line("expected", item, " ".join([f"{word}: {expected.why}", *expected.issues]))


def _line_of_absence(expected: Expected, seen: Seen | None) -> Line:
    wanted = " or ".join(one.upper() for one in expected.verdicts)
    if seen is None:
        return Line("GONE", expected.item, f"no such item ran; expected {wanted}", is_red=True)
    if not seen.verdict:
        return Line("not run", expected.item, seen.text, is_red=not seen.is_out_of_time)
    if expected.by_chance:
        return Line("by chance", expected.item, f"passed this time; {wanted} is possible: {expected.why}")
    text = f"passed, expected {wanted}: {expected.why}: take it off the list where the tree is mended"
    return Line("GONE", expected.item, text, is_red=True)


def read_items(path: Path) -> dict[str, Seen]:
    """Return item -> what became of it, from pytest's JUnit file."""
    found = {}
    for case in ElementTree.parse(path).iter("testcase"):
        verdict = next(
            (one.get("value", "") for one in case.iter("property") if one.get("name") == "mps_verdict"), ""
        )
        ended = next((one for one in case if one.tag in ("failure", "error", "skipped")), None)
        text = ended.get("message", "") if ended is not None else ""
        if not verdict and ended is not None and ended.tag != "skipped":
            verdict = str(Verdict.BROKEN)  # pytest's own error: the item did not get so far
        found[case.get("name", "")] = Seen(verdict, text)
    return found


@dataclass(frozen=True)
class Check:
    """One check of one tree."""

    builder: CoreBuilder
    given: str
    runs: int
    seconds: int
    folder: Path
    """For what pytest leaves."""

    def scenarios(self) -> tuple[str, list[str]]:
        """Run the shipped scenarios, print what is to be said of them, and return a summary and what is red."""
        self.folder.mkdir(parents=True, exist_ok=True)
        seen: dict[str, Seen] = {}
        for share in (LISTED, OTHERS):
            found = self._run(share)
            if isinstance(found, str):
                return f"no scenario ran ({share})", [f"the scenarios did not run ({share}: {found})"]
            twice = seen.keys() & found.keys()
            if twice:
                return f"{min(twice)} ran twice", [f"{min(twice)} ran twice: two items have one name"]
            seen |= found
        lines = compared(seen, load())
        print(f"scenarios  {_summary(seen)}; all that pytest printed: {self.folder}/pytest-*.txt")
        for line in lines:
            print(f"  {line.word:<10} {line.item:<44} {line.text}")
        return _summary(seen), [f"{line.word}: {line.item}" for line in lines if line.is_red]

    def _run(self, share: str) -> dict[str, Seen] | str:
        """Run one share of the items; return what became of each, or why none ran."""
        report, output = self.folder / f"junit-{share}.xml", self.folder / f"pytest-{share}.txt"
        report.unlink(missing_ok=True)
        command = [
            sys.executable, "-m", "pytest", "scenarios", "-q", "--mps-threads=8", "--mps-device=core", f"--mps-pytorch={self.given}",
            f"--mps-deadline={DEADLINES_S[share]}", f"--mps-results={self.folder / 'runs'}", f"--junitxml={report}",
            "-p", "no:cacheprovider", "-p", core_items.__name__, f"--core-items={share}",
            *([f"--mps-seconds={self.seconds}"] if share == OTHERS else []),
        ]  # fmt: skip
        with output.open("w", encoding="utf-8") as file:
            status = subprocess.run(
                command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, check=False
            ).returncode
        if status in (0, 1) and report.is_file():
            return read_items(report)
        last = (output.read_text(errors="replace").strip().splitlines() or ["no output"])[-1]
        return f"pytest ended with {status}: {last}"

    def real_bugs(self) -> list[str]:
        """Look for each bug before and after its fix, and return what is red."""
        command = [
            sys.executable, "-m", "benchmarks.real_bugs", f"--pytorch={self.given}", f"--runs={self.runs}", "--races-may-hide", "--other-cases",
        ]  # fmt: skip
        status = subprocess.run(command, cwd=ROOT, check=False).returncode
        return (
            [] if status == 0 else ["real bugs: not each showed, or one did after its fix (the table above)"]
        )


def _summary(seen: Mapping[str, Seen]) -> str:
    ran = [one for one in seen.values() if one.verdict]
    failed = sum(one.has_failed for one in ran)
    late = sum(one.is_out_of_time for one in seen.values())
    skipped = len(seen) - len(ran) - late
    without = f", {late} NOT RUN for lack of time" if late else ""
    return (
        f"{len(seen)} items: {len(ran) - failed} passed, {failed} failed, {skipped} skipped for what this tree or device lacks"
        f"{without}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "tree", metavar="TREE", help="a PyTorch source tree; fetched from Debian where it is missing"
    )
    parser.add_argument(
        "--runs",
        metavar="N",
        type=int,
        default=1,
        help="runs of each bug's case in each tree; 0 leaves the bugs out",
    )
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=int,
        default=220,
        help="time for the scenarios that are not on the list",
    )
    parser.add_argument("--outcome", metavar="FILE", type=Path, help="where the last line goes, too")
    args = parser.parse_args(arguments)
    started = time.monotonic()
    status, line = _checked(args)
    minutes = f"{(time.monotonic() - started) / 60:.1f} min"
    if status != NOT_CHECKED:
        line = f"{line} ({minutes})"
    if args.outcome is not None:
        args.outcome.parent.mkdir(parents=True, exist_ok=True)
        args.outcome.write_text(f"{line}\n", encoding="utf-8")
    print(line, flush=True)
    return status


def _checked(args: argparse.Namespace) -> tuple[int, str]:
    """Return the exit status and the line that says what it came to."""
    if fetch_pytorch.main([args.tree]) == fetch_pytorch.MISSING:
        return NOT_CHECKED, "core: not checked: its source package cannot be had here"
    try:
        builder = core_builder(args.tree)
    except (BuildError, OptionError) as error:
        if isinstance(error, OptionError):
            return BAD_INPUT, f"core: bad input: {_first_line(error)}"
        return NOT_CHECKED, f"core: not checked: {_first_line(error)}"
    for line in about(builder):
        print(line, flush=True)
    try:
        made = builder.ensure(_say, _progress, force=True)
    except (BuildError, OptionError) as error:
        print(error, file=sys.stderr)
        return NOT_AS_EXPECTED, f"core: NOT as expected: {_first_line(error)}"
    print(f"built      {f'in {made.seconds:.0f} s' if made.is_new else 'before'}: {made.library}", flush=True)
    check = Check(builder, args.tree, args.runs, args.seconds, ROOT / "build" / "core")
    summary, red = check.scenarios()
    if args.runs:
        red += check.real_bugs()
    print(WORTH.format(version=builder.tree.version))
    if red:
        return NOT_AS_EXPECTED, f"core: NOT as expected: {'; '.join(red)}"
    bugs = (
        "each bug goes with its fix" if args.runs else "the real bugs were not looked for (make core RUNS=1)"
    )
    return AS_EXPECTED, f"core: as expected: {summary}; each failure is on the list; {bugs}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _progress(step: str, share: float) -> None:
    print(f"  {share:4.0%} {step}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
