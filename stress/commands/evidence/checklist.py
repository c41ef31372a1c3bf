"""Requirements of a submission: what the records show, what was run here, and what only a person can do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

from stress.commands.compare.judge import PairResult
from stress.commands.compare.report import Compared
from stress.commands.compare.report import findings
from stress.commands.evidence.lint import Linted
from stress.commands.evidence.patch import Patch
from stress.commands.evidence.patch import Tree
from stress.commands.evidence.results import TestedGroup
from stress.commands.evidence.upstream_results import UpstreamCompared
from stress.model.markdown import plain
from stress.model.markdown import table
from stress.model.text import count
from stress.record.aggregate import Aggregate
from stress.record.aggregate import DeviceKind
from stress.record.aggregate.words import excluded

MACOS_WANTED = ("14", "15", "26")
CHIPS_WANTED = ("M1", "M2", "M3", "M4", "M5")
_MACHINE = re.compile(r"Apple (M\d).*macOS (\d+)")

SHOWN, NOT_SHOWN, FAILED, PERSON = "shown", "not shown", "not met", "a person"
NONE_SEEN = "none seen"
"""Nothing speaks against it: no number of attempts shows that there is no failure, and `by` says what they exclude."""


@dataclass(frozen=True)
class Point:
    """One requirement."""

    name: str
    state: str
    by: str


@dataclass(frozen=True)
class Inputs:
    """Everything that is known."""

    whole: Aggregate
    subjects: Sequence[TestedGroup]
    patch: Patch | None
    tree: Tree | None
    linted: Sequence[Linted] | None
    compared: Compared | None
    power: Sequence[str]
    has_throughput: bool
    upstream: UpstreamCompared


def points(given: Inputs) -> list[Point]:
    """Return all requirements with what is known of them."""
    return [*_patch_points(given), *_record_points(given), *_lint_points(given.linted), *_person_points()]


def checklist(found: Sequence[Point]) -> str:
    return table(
        ["requirement", "state", "by"], [[plain(one.name), one.state, plain(one.by)] for one in found]
    )


def _patch_points(given: Inputs) -> Iterator[Point]:
    patch, tree = given.patch, given.tree
    if patch is None:
        yield Point("identity of the patch", NOT_SHOWN, "no --patch was given")
    else:
        tests = [one for one in patch.paths if one.startswith("test/")]
        listed = ", ".join(tests[:3]) or "the patch changes nothing below test/"
        yield Point("the patch has tests", SHOWN if tests else FAILED, listed)
        docs = [one for one in patch.paths if one.startswith("docs/")]
        yield Point(
            "the patch has documentation",
            SHOWN if docs else NOT_SHOWN,
            ", ".join(docs[:3]) or "nothing below docs/ is changed",
        )
    if tree is None or patch is None:
        yield Point("the patch applies to the tree", NOT_SHOWN, "--patch and --torch-source are needed")
    else:
        good = tree.applies in ("yes", "already applied")
        yield Point(
            "the patch applies to the tree", SHOWN if good else FAILED, f"git apply --check: {tree.applies}"
        )
    yield _build_point(given)


def _build_point(given: Inputs) -> Point:
    name = "what was tested is a build of the tree"
    real = [one for one in given.subjects if one.group.kind is DeviceKind.REAL]
    if given.tree is None:
        return Point(name, NOT_SHOWN, "no --torch-source was given")
    if not real:
        is_tree = any(one.is_tree for one in given.subjects)
        built = "a build of the tree's HEAD ran, but " if is_tree else ""
        return Point(name, NOT_SHOWN, f"{built}no run on a real Apple GPU is among the records")
    others = [one.group.build.label for one in real if one.is_tree is not True]
    if others:
        return Point(name, FAILED, f"also tested: {', '.join(dict.fromkeys(others))}")
    if given.tree.is_dirty is not False:
        return Point(name, FAILED, "the tree has uncommitted changes: no commit names what was built")
    return Point(name, SHOWN, f"torch.version.git_version is the tree's HEAD {given.tree.head[:12]}")


def _record_points(given: Inputs) -> Iterator[Point]:
    real = [one for one in given.subjects if one.group.kind is DeviceKind.REAL]
    failing = [cell for one in real for cell in one.failing]
    if not real:
        yield Point("no scenario fails on a real Apple GPU", NOT_SHOWN, "no such run is among the records")
    elif failing:
        yield Point(
            "no scenario fails on a real Apple GPU",
            FAILED,
            f"{count(len(failing), 'item')} failed, listed above",
        )
    else:
        said = excluded(cell for one in real for cell in one.real_items)
        yield Point(
            "no scenario fails on a real Apple GPU",
            NONE_SEEN if said else NOT_SHOWN,
            said or "none of their attempts counts",
        )
    missed = [one for one in real if not _canaries_found(one)]
    yield Point("canaries were found wherever results are green", SHOWN if real and not missed else NOT_SHOWN if not real else FAILED,
                "every group of a real device" if real and not missed else f"not on {count(len(missed), 'group')}" if real else "no real device")  # fmt: skip
    yield from _hardware(real)
    yield _sanitizer_point(given.whole)
    yield _regression_point(given.compared)
    yield _upstream_point(given.upstream)
    yield Point(
        "power of the detector",
        SHOWN if given.power else NOT_SHOWN,
        given.power[0] if given.power else "no run of mps-stress power is among the records",
    )
    yield Point(
        "throughput",
        SHOWN if given.has_throughput else NOT_SHOWN,
        "section above" if given.has_throughput else "no run of mps-stress throughput is among the records",
    )


def _regression_point(compared: Compared | None) -> Point:
    name = "no regression against the runs before"
    if compared is None:
        return Point(name, NOT_SHOWN, "no --base was given, or nothing could be compared")
    said = " ".join(findings(compared))
    if compared.is_worse or compared.unknown:
        return Point(name, FAILED, said)
    if said:
        return Point(name, NOT_SHOWN, said)
    rows = [row for rows in compared.rows for row in rows]
    undecided = sum(row.answer == PairResult.UNTOLD and row.new.failures > 0 for row in rows)
    parts = [excluded(row.new for row in rows)]
    parts += (
        [f"{count(undecided, 'item')} undecided: the table says how many attempts would tell"]
        if undecided
        else []
    )
    return Point(
        name,
        NONE_SEEN if any(parts) else NOT_SHOWN,
        "; ".join(one for one in parts if one) or "no attempt counts",
    )


def _sanitizer_point(whole: Aggregate) -> Point:
    lines = whole.sanitizer_lines
    if not lines:
        return Point(
            "ThreadSanitizer", NOT_SHOWN, "neither mps-stress tsan nor pytest --mps-tsan is among the records"
        )
    good = sum(is_green for _, is_green, _ in lines)
    simulated = all(kind.is_simulated for *_, kind in lines)
    state = FAILED if good < len(lines) else NOT_SHOWN if simulated else SHOWN
    where = "; on the simulated Metal only" if simulated else ""
    return Point(
        "ThreadSanitizer", state, f"{good} of {count(len(lines), 'statement')} without a race{where}"
    )


def _upstream_point(upstream: UpstreamCompared) -> Point:
    name = "upstream's own tests pass as before"
    if not upstream.is_complete:
        return Point(
            name,
            NOT_SHOWN,
            "run mps-stress upstream with both builds, and give the stock one's run to --base",
        )
    where = "; on the simulated device only" if upstream.is_simulated else ""
    if upstream.lost:
        return Point(name, FAILED, f"{count(len(upstream.lost), 'test')} pass on stock torch only{where}")
    state = NOT_SHOWN if where else SHOWN
    return Point(name, state, f"{len(upstream.patched.tests)} tests ran on both builds, once each{where}")


def _canaries_found(one: TestedGroup) -> bool:
    canaries = [cell for cell in one.cells if cell.is_canary]
    return bool(canaries) and all(cell.failures for cell in canaries)


def _hardware(real: Sequence[TestedGroup]) -> Iterator[Point]:
    seen = [found.groups() for one in real if (found := _MACHINE.search(one.group.machine))]
    for name, wanted, index in (("macOS", MACOS_WANTED, 1), ("chips", CHIPS_WANTED, 0)):
        have = [one for one in wanted if any(pair[index] == one for pair in seen)]
        lacks = [one for one in wanted if one not in have]
        state = SHOWN if not lacks else NOT_SHOWN
        listed = f"ran on {', '.join(have) or 'none'}" + (f"; not on {', '.join(lacks)}" if lacks else "")
        yield Point(f"{name} {', '.join(wanted)}", state, listed)


def _lint_points(linted: Sequence[Linted] | None) -> Iterator[Point]:
    if linted is None:
        yield Point(
            "clang-format, lintrunner, flake8, mypy, docstrings, licence headers",
            NOT_SHOWN,
            "run with --lint",
        )
        return
    for one in linted:
        yield Point(one.name, {True: SHOWN, False: FAILED, None: NOT_SHOWN}[one.ok], one.text)


def _person_points() -> Iterator[Point]:
    yield Point("contributor licence agreement (CLA)", PERSON, "signed by whoever submits")
    yield Point("an issue that describes the problem", PERSON, "filed and linked by whoever submits")
    yield Point(
        "every line is understood and owned",
        PERSON,
        "PyTorch's AI_POLICY.md: no contribution by fully autonomous agents; AI text is disclosed",
    )
    yield Point("the submission itself, and answering its review", PERSON, "nobody else can")
