"""Test files that a child collects: their tests are items here, without the file being imported in this process."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress.plugin.hosted.listed import CollectedFile
from stress.plugin.hosted.listed import ListedTest
from stress.plugin.judged_item import JudgedItem
from stress.plugin.ordinary.selection import MARKER

_SCENARIOS = re.compile(
    r"^\s*(?:from|import)\s+stress\b.*^\s*class\s+\w+\(.*Scenario", re.MULTILINE | re.DOTALL
)
_RUNS_IN_THE_CHILD = frozenset(
    {"skip", "skipif", "xfail", "usefixtures", "filterwarnings", "parametrize", "timeout"}
)
"""Markers that pytest and plugins act on when a test runs: a condition may be about the device."""

Ask = Callable[[Path], CollectedFile]


def is_hosted(path: Path, *, all_tests: bool) -> bool:
    """Whether children run the tests of a file: all are asked for or some are marked, and it holds no scenarios."""
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return (all_tests or MARKER in source) and _SCENARIOS.search(source) is None


class HostedFile(pytest.File):
    """A file of ordinary tests, collected by a child."""

    ask: Ask
    execute: Callable[[HostedTest], None]

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        listing = self.ask(self.path)
        if listing.problem:
            raise self.CollectError(listing.problem)
        if listing.skipped and not listing.tests:
            pytest.skip(listing.skipped, allow_module_level=True)
        yield from _children(self, listing.tests, 0)


class HostedClass(pytest.Collector):
    """A class of tests, or whatever else a file has between it and its tests."""

    tests: list[ListedTest]
    depth: int

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        yield from _children(self, self.tests, self.depth)


class HostedTest(JudgedItem):
    """An ordinary test that children run."""

    listed: ListedTest

    def take_over(self, listed: ListedTest) -> None:
        """Be selected by the names and markers that the test has in the child."""
        self.listed = listed
        self.extra_keyword_matches.update(listed.keywords)
        for name, args, kwargs in reversed(listed.markers):
            if name not in _RUNS_IN_THE_CHILD:
                with contextlib.suppress(
                    pytest.fail.Exception
                ):  # a strict pytest refused it in the child already
                    self.add_marker(getattr(pytest.mark, name)(*args, **kwargs))

    # What conftest files often ask of an item. Functions, classes and modules are in the child alone.

    @property
    def fixturenames(self) -> list[str]:
        return self.listed.fixtures

    @property
    def originalname(self) -> str:
        return self.name.partition("[")[0]

    def setup(self) -> None:
        from stress.plugin.run import run_of

        run = run_of(self.config)
        run.budget.begin_item()
        self.skip_if_out_of_time(run)

    def runtest(self) -> None:
        file = self.getparent(HostedFile)
        assert file is not None
        file.execute(self)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, self.listed.line, ".".join([*self.listed.chain, self.name])


def _children(
    parent: pytest.Collector, tests: list[ListedTest], depth: int
) -> Iterator[pytest.Item | pytest.Collector]:
    """Yield the tests right below `parent`, and a collector for each further name, in the order of the child."""
    seen: dict[str, list[ListedTest]] = {}
    for one in tests:
        if len(one.chain) > depth:
            seen.setdefault(one.chain[depth], []).append(one)
    for one in tests:
        if len(one.chain) == depth:
            item = HostedTest.from_parent(parent, name=one.name, nodeid=one.nodeid)
            item.take_over(one)
            yield item
        elif (below := seen.pop(one.chain[depth], None)) is not None:
            collector = HostedClass.from_parent(parent, name=one.chain[depth])
            collector.tests, collector.depth = below, depth + 1
            yield collector
