"""The pytest side of ordinary tests: hooks that select, set up, run and report. `register` is the way in."""

from __future__ import annotations

import functools
import secrets
import unittest
from collections.abc import Callable
from collections.abc import Generator
from typing import Any

import pytest

from stress.child.perturb import kept_ready
from stress.child.perturb.own_code import own_folders
from stress.model.spec import DEADLINE_S_DEFAULT
from stress.model.text import count
from stress.plugin.ordinary import fixtures
from stress.plugin.ordinary import selection
from stress.plugin.ordinary.judge import ThreadedOutcome
from stress.plugin.ordinary.judge import hide_unless_alone
from stress.plugin.ordinary.pool import Pool
from stress.plugin.ordinary.selection import MARKER
from stress.plugin.ordinary.threaded import PROPERTY_CALLS
from stress.plugin.ordinary.threaded import PROPERTY_OVERLAP
from stress.plugin.ordinary.threaded import Conditions
from stress.plugin.ordinary.threaded import Threaded
from stress.plugin.ordinary.threaded import run_function
from stress.plugin.ordinary.threaded import run_unittest
from stress.plugin.settings import Settings

PLUGIN_NAME = "mps-stress-ordinary"
INI_SHARED = "mps_shared_fixtures"

_STATE = pytest.StashKey[Threaded]()
_REASON = pytest.StashKey[str]()
RAN_ONCE = pytest.StashKey[bool]()
"""Whether it ran once, on one thread, and nobody asked for more."""

# Attributes of a report are carried over by pytest-xdist as long as JSON can hold them.
_REASON_ATTRIBUTE = "mps_not_threaded"
_ONCE_ATTRIBUTE = "mps_ran_once"
NOT_PERTURBED_ATTRIBUTE = "mps_not_perturbed"


def add_ini(parser: pytest.Parser) -> None:
    """Declare the ini option of this part; called from `pytest_addoption`."""
    parser.addini(
        INI_SHARED,
        "Function-scoped fixtures that the threads of one test share: set up once, even if they change "
        "the whole process (monkeypatch, caplog, ...)",
        type="args",
        default=[],
    )


def register(
    config: pytest.Config, settings: Settings | None, journal: Callable[[str], None] | None = None
) -> OrdinaryPlugin:
    """Register the plugin; called from `pytest_configure`. `settings` is None without `--mps-threads`.

    `journal` is called with a test's node id before its threads start, so that the name survives a crash.
    """
    plugin = OrdinaryPlugin(config, settings, journal)
    config.pluginmanager.register(plugin, PLUGIN_NAME)
    return plugin


class OrdinaryPlugin:
    """Runs test functions from threads where a marker or `--mps-all-tests` says so."""

    def __init__(
        self, config: pytest.Config, settings: Settings | None, journal: Callable[[str], None] | None = None
    ) -> None:
        self._config = config
        self._settings = settings
        self._journal = journal
        self._pool = Pool()
        self._shared = frozenset(config.getini(INI_SHARED))
        self._overlaps: list[tuple[int, float]] = []
        self._reasons: list[str] = []
        self._not_perturbed: list[str] = []
        self._ran_once = 0

    @functools.cached_property
    def conditions(self) -> Conditions:
        """Made for the first test that runs from threads: looking for editable installs takes milliseconds."""
        settings = self._settings
        return Conditions(
            deadline_s=settings.deadline_s if settings else DEADLINE_S_DEFAULT,
            seed=settings.seed if settings else secrets.randbits(32),
            perturb=settings.perturb if settings else "low",
            modules=settings.trace_modules if settings else (),
            folders=own_folders(self._config.rootpath),
            order=settings.order_level if settings else "",
            order_suppressions=tuple(settings.order_suppressions) if settings else (),
        )

    @pytest.fixture
    def thread_index(self) -> int:
        """Return the number of the running thread, from 0; 0 in a test that runs from one thread."""
        return 0

    @pytest.fixture
    def iteration_index(self) -> int:
        """Return the number of the call in its thread, from 0. In other fixtures it is always 0."""
        return 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if isinstance(item, pytest.Function):
                self._select(item)
            elif self._settings is not None:
                self._note_other(item, all_tests=self._settings.all_tests)

    def _note_other(self, item: pytest.Item, *, all_tests: bool) -> None:
        """Note an item that is neither a test function nor ours, such as a doctest: it always runs once."""
        from stress.plugin.judged_item import JudgedItem  # not in runs that do not want us

        if isinstance(item, JudgedItem):
            return
        if all_tests:
            item.stash[_REASON] = f"{type(item).__name__} is no test function"
        else:
            item.stash[RAN_ONCE] = True

    def _select(self, item: pytest.Function) -> None:
        plan = selection.plan(item, self._settings)
        if plan is None:
            item.stash[RAN_ONCE] = self._settings is not None or item.get_closest_marker(MARKER) is not None
            return
        reason = selection.why_not(item)
        if reason is not None:
            item.stash[_REASON] = reason
            return
        selection.check_run_parallel(item)
        if plan.threads == 1:
            item.stash[_REASON] = "one thread"
        self.arm(item, plan)

    def arm(self, item: pytest.Function, plan: selection.ThreadedPlan) -> None:
        """Let the item run from threads."""
        state = item.stash[_STATE] = Threaded(plan)
        if isinstance(item.instance, unittest.TestCase):
            run = functools.partial(self._run_unittest, item, state)
            vars(item)["runtest"] = run

    def disarm(self, item: pytest.Item) -> None:
        """Let the item run as pytest runs it."""
        if item.stash.get(_STATE, None) is not None:
            del item.stash[_STATE]
            vars(item).pop("runtest", None)

    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> str | None:
        count = sum(_STATE in item.stash for item in items)
        if not count:
            return None
        tests = "1 ordinary test runs" if count == 1 else f"{count} ordinary tests run"
        # --mps-tsan instruments children alone: silence about these tests would pass for "no race".
        unseen = " and not under ThreadSanitizer" if self._settings and self._settings.tsan else ""
        return (
            f"mps-stress: {tests} from threads inside this process, not isolated{unseen}: "
            "a native crash would end pytest; -n 1 protects it"
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        state = item.stash.get(_STATE, None)
        if state is None or not isinstance(item, pytest.Function):
            return
        clashing = fixtures.clashing(item, self._shared) if state.plan.threads > 1 else []
        if clashing:
            names = ", ".join(clashing)
            pytest.fail(
                f"{item.nodeid} runs from {state.plan.threads} threads and uses {names}, which changes the "
                "whole process: mark the test mps_stress(threads=1), or, if sharing is fine, set "
                f"{INI_SHARED} = {' '.join(clashing)} in the ini file",
                pytrace=False,
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> object | None:
        if fixturedef.scope != "function" or self._config.getoption("setupplan", False):
            return None
        item = request.node
        state = item.stash.get(_STATE, None)
        if state is None:
            return None
        self._make_instances(item, state)
        return fixtures.set_up(fixturedef, request, state.instances, self._shared)

    def _make_instances(self, item: pytest.Function, state: Threaded) -> None:
        if not state.instances or state.instances[0] is not item.instance:
            state.instances = fixtures.instances_of(item, state.plan.threads)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> object | None:
        __tracebackhide__ = hide_unless_alone
        state = pyfuncitem.stash.get(_STATE, None)
        if state is None:
            return None
        self._make_instances(pyfuncitem, state)
        self._write_journal(pyfuncitem)
        run_function(pyfuncitem, state, self._pool, self.conditions)
        return True

    def _run_unittest(self, item: pytest.Function, state: Threaded) -> None:
        __tracebackhide__ = hide_unless_alone
        self._make_instances(item, state)
        self._write_journal(item)
        run_unittest(item, state, self._pool, self.conditions)

    def _write_journal(self, item: pytest.Item) -> None:
        if self._journal is not None:
            self._journal(item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        state = item.stash.get(_STATE, None)
        judgement = state.judgement if state is not None else None
        if report.when == "call" and report.failed and judgement is not None and judgement.headline:
            _explain(report, judgement)
        if report.when == "call" and not report.skipped and item.stash.get(RAN_ONCE, False):
            setattr(report, _ONCE_ATTRIBUTE, True)
        if report.when == "call" and state is not None and state.not_perturbed:
            setattr(report, NOT_PERTURBED_ATTRIBUTE, state.not_perturbed)
        if report.when == "setup" and _REASON in item.stash:
            setattr(report, _REASON_ATTRIBUTE, item.stash[_REASON])
        if report.when == "teardown" and state is not None:
            # The test is over: its instances and tracebacks must not live on, and a second run (plugins
            # that repeat tests) starts afresh.
            state.instances = []
            state.judgement = None
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "setup" and hasattr(report, _REASON_ATTRIBUTE):
            self._reasons.append(getattr(report, _REASON_ATTRIBUTE))
        self._ran_once += hasattr(report, _ONCE_ATTRIBUTE)
        if hasattr(report, NOT_PERTURBED_ATTRIBUTE):
            self._not_perturbed.append(getattr(report, NOT_PERTURBED_ATTRIBUTE))
        if report.when == "call":
            told = dict(report.user_properties)
            if PROPERTY_CALLS in told:
                self._overlaps.append((int(str(told[PROPERTY_CALLS])), float(str(told[PROPERTY_OVERLAP]))))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._overlaps:
            calls = sum(calls for calls, _ in self._overlaps)
            share = sum(calls * overlap for calls, overlap in self._overlaps) / calls
            tests = len(self._overlaps)
            terminalreporter.write_line(
                f"mps-stress: {count(tests, 'ordinary test')}, {calls} calls from threads; "
                f"{share:.0%} of the calls overlapped with another thread's"
            )
        if self._ran_once:
            runs = "runs it" if self._ran_once == 1 else "runs them"
            on = "--mps-all-tests or @pytest.mark.mps_stress" if self._settings else "--mps-threads=8"
            which = count(self._ran_once, "ordinary test" if self._settings else "test")
            which += "" if self._settings else " marked mps_stress"
            terminalreporter.write_line(
                f"mps-stress: {which} ran once, on one thread: {on} {runs} from threads"
            )
        if self._not_perturbed:
            terminalreporter.write_line(f"mps-stress: not perturbed: {selection.tally(self._not_perturbed)}")
        if self._reasons:
            terminalreporter.write_line(f"mps-stress: not threaded: {selection.tally(self._reasons)}")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        if not any(_STATE in item.stash for item in session.items):
            return (yield)
        with kept_ready():
            return (yield)

    def pytest_unconfigure(self) -> None:
        self._pool.close()


def _explain(report: pytest.TestReport, judgement: ThreadedOutcome) -> None:
    """Put the headline into the one-line summary and the details below the traceback."""
    longrepr: Any = report.longrepr
    crash = getattr(longrepr, "reprcrash", None)
    if crash is None:
        text = str(longrepr)
        joined = text if judgement.headline in text else f"{judgement.headline}: {text}"
        details = judgement.details if judgement.details not in joined else ""
        report.longrepr = f"{joined}\n{details}".strip()
        return
    crash.message = f"{judgement.headline}: {crash.message}"
    longrepr.addsection("mps-stress", judgement.details, "-")
