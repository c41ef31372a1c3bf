"""The child's side of ordinary tests: a pytest session of its own, which collects one file once and runs what it is asked for.

The device is loaded before the file is imported. Fixtures of classes, modules and the session, and conftest files, are
this process's, and stay from one test to the next as in any pytest. What runs a test is pytest's own protocol.
"""

from __future__ import annotations

import copy
import os
import time
import traceback
from typing import Any

import pytest

from stress.model import seeds
from stress.model.blackbox import BlackBox
from stress.model.finding import Finding
from stress.model.finding import broken
from stress.model.spec import TEST_S
from stress.model.spec import ChildSpec
from stress.model.spec import TestSpec
from stress.model.verdict import Verdict
from stress.plugin.hosted.listed import CollectedFile
from stress.plugin.hosted.listed import ListedTest
from stress.plugin.ordinary import fixtures
from stress.plugin.ordinary import plugin as ordinary
from stress.plugin.ordinary import selection
from stress.plugin.ordinary.judge import one_line
from stress.plugin.ordinary.selection import ITERATIONS_DEFAULT
from stress.plugin.ordinary.selection import ThreadedPlan
from stress.plugin.ordinary.threaded import PROPERTY_CALLS
from stress.plugin.ordinary.threaded import PROPERTY_OVERLAP
from stress.plugin.ordinary.threaded import Conditions

_DEADLINE_GRACE_S = 3600.0
"""The parent owns the deadline: it takes stacks, and ends the process, which nothing in here could."""

_host: Host | None = None


def collect(spec: ChildSpec) -> None:
    """Prepare the device and collect the file, in a process that forks those which run its tests."""
    global _host
    from stress.device import operator_patch
    from stress.device import preparation

    preparation.prepare(spec)
    operator_patch.apply(spec.operators, spec.device)
    assert spec.test is not None
    _host = Host(spec.test)


def run(spec: ChildSpec, result: dict[str, Any]) -> list[Finding]:
    """Run the test of `spec`, or collect its file; put what is known beside the findings into `result`."""
    global _host
    test = spec.test
    assert test is not None
    is_crew = spec.kind == "crew"
    box = BlackBox(spec.file("blackbox"), spec.threads if is_crew else 0)
    if _host is None:
        box.stage("import")
        _host = Host(test)
    if not test.nodeid:
        result["listing"] = _host.listing.to_data()
        result["stays"] = True
        return []
    item = _host.items.get(test.nodeid)
    if item is None:
        why = (
            _host.listing.problem
            or "this process has collected the file without it: do parameters change from run to run?"
        )
        return [broken("collection", why)]
    box.stage("crew" if is_crew else "references")
    seeds.seed_generators(seeds.derive(spec.seed, "test", spec.attempt))
    left = _host.leave(item)
    began = time.monotonic()
    findings = _host.run_from_threads(item, spec, box, result) if is_crew else _host.run_alone(item, result)
    result["times"] = {TEST_S: round(time.monotonic() - began, 3)}
    findings += _synchronize(spec, result)
    box.stage("done")
    return [*left, *findings]


def finish() -> None:
    """Tear down what is left when no test follows, as pytest does at the end of a session."""
    if _host is not None and _host.items:
        _host.leave(None)


class Host:
    """A pytest session with one file collected."""

    def __init__(self, test: TestSpec) -> None:
        self.listing = CollectedFile()
        self.items: dict[str, pytest.Item] = {}
        self._reports = _Reports()
        os.chdir(test.rootdir)
        try:
            # pytest's own constructor for subprocesses, as pytest-xdist's workers use it.
            self._config = pytest.Config.fromdictargs(dict(test.options), [test.file])
            self._plugin = _replace_ordinary_plugin(self._config)
            self._config.pluginmanager.register(self._reports)
            self._session = pytest.Session.from_config(self._config)
            self._config.hook.pytest_sessionstart(session=self._session)
            self._config.hook.pytest_collection(session=self._session)
        except (Exception, pytest.exit.Exception) as error:
            self.listing.problem = f"the file cannot be collected: {one_line(error)}"
            return
        self.listing.problem, self.listing.skipped = self._reports.problem, self._reports.skipped
        for item in self._session.items:
            self.items[item.nodeid] = item
            try:
                self.listing.tests.append(_listed(item, self._plugin.shared))
            except pytest.UsageError as error:
                self.listing.problem = str(error)

    def run_alone(self, item: pytest.Item, result: dict[str, Any]) -> list[Finding]:
        """Run the test as any pytest would. It may skip or be expected to fail, and the process stays fit for others."""
        self._plugin.disarm(item)
        reports = self._run(item)
        result["stays"] = True
        result["alone"] = _outcome(reports)
        failed = [one for one in reports if one.failed]
        if not failed:
            return []
        text = f"fails on one thread, too: {_in_phase(failed[0])}{_message(failed[0])}"
        return [Finding(Verdict.ERROR, "alone", text, trace=failed[0].longreprtext)]

    def run_from_threads(
        self, item: pytest.Item, spec: ChildSpec, box: BlackBox, result: dict[str, Any]
    ) -> list[Finding]:
        assert isinstance(item, pytest.Function)
        iterations = spec.iterations or ITERATIONS_DEFAULT
        plan = (
            ThreadedPlan(1, spec.threads * iterations)
            if spec.one_thread
            else ThreadedPlan(spec.threads, iterations)
        )
        self._plugin.conditions = _conditions(spec, box)
        self._plugin.arm(item, plan)
        reports = self._run(item)
        result["threads_peak"] = plan.threads
        for report in reports:
            told = dict(report.user_properties)
            if PROPERTY_CALLS in told:
                result["iterations_done"], result["overlap"] = told[PROPERTY_CALLS], told[PROPERTY_OVERLAP]
            if why := getattr(report, ordinary.NOT_PERTURBED_ATTRIBUTE, ""):
                result["notes"].append(f"not perturbed: {why}")
        return [_finding(one) for one in reports if one.failed] or _unlike_alone(reports)

    def _run(self, item: pytest.Item) -> list[pytest.TestReport]:
        fixtures.renew(item)
        self._reports.of_test.clear()
        # A copy as the next one: fixtures of the test itself are torn down, and those of its class and module stay.
        self._config.hook.pytest_runtest_protocol(item=item, nextitem=copy.copy(item))
        return list(self._reports.of_test)

    def leave(self, item: pytest.Item | None) -> list[Finding]:
        """Tear down what `item`, the next one, does not share: classes before it, and with None the module and session."""
        try:
            self._session._setupstate.teardown_exact(copy.copy(item) if item is not None else None)
        except BaseException as error:
            text = f"while fixtures of earlier tests were torn down: {one_line(error)}"
            return [Finding(Verdict.ERROR, "teardown", text, trace=traceback.format_exc(limit=-8))]
        return []


class _Reports:
    """Keeps what pytest reports."""

    def __init__(self) -> None:
        self.of_test: list[pytest.TestReport] = []
        self.problem = ""
        self.skipped = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.of_test.append(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.problem:
            self.problem = report.longreprtext
        elif report.skipped:
            self.skipped = _skip_reason(report)


class _HostPlugin(ordinary.OrdinaryPlugin):
    """Runs from threads what it is told to, one test at a time."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        pass

    def pytest_report_collectionfinish(self, items: list[pytest.Item]) -> str | None:
        return None

    @property
    def shared(self) -> frozenset[str]:
        """Return the fixtures that threads may share although they change the whole process."""
        return self._shared


def _replace_ordinary_plugin(config: pytest.Config) -> _HostPlugin:
    config._do_configure()  # what `pytest.main` does, too
    config.pluginmanager.unregister(name=ordinary.PLUGIN_NAME)
    plugin = _HostPlugin(config, None)
    config.pluginmanager.register(plugin, ordinary.PLUGIN_NAME)
    return plugin


def _listed(item: pytest.Item, shared: frozenset[str]) -> ListedTest:
    """Return what the parent needs to know of a test; raise `pytest.UsageError` for a marker that makes no sense."""
    _, line, _ = item.location
    chain = item.listchain()
    file = next(index for index, one in enumerate(chain) if isinstance(one, pytest.File))
    listed = ListedTest(
        nodeid=item.nodeid,
        chain=[one.name for one in chain[file + 1 : -1]],
        name=item.name,
        line=line,
        keywords=sorted(map(str, item.listextrakeywords() | set(item.keywords))),
        markers=[[one.name, _plain(one.args), _plain(one.kwargs)] for one in item.iter_markers()],
        fixtures=list(getattr(item, "fixturenames", ())),
    )
    if not isinstance(item, pytest.Function):
        listed.why_once = f"{type(item).__name__} is no test function"
        return listed
    marker = item.get_closest_marker(selection.MARKER)
    if marker is not None:
        listed.is_marked = True
        listed.threads, listed.iterations = selection.arguments(item, marker)
    clashing = ", ".join(fixtures.clashing(item, shared))
    uses = f"uses {clashing}, which changes the whole process" if clashing else ""
    listed.why_once = selection.why_not(item) or uses
    return listed


def _plain(value: Any) -> Any:
    """Return a marker's arguments as JSON has them, others as text: the parent selects by them, and runs nothing."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)


def _conditions(spec: ChildSpec, box: BlackBox) -> Conditions:
    return Conditions(
        deadline_s=spec.deadline_s + _DEADLINE_GRACE_S,
        seed=seeds.derive(spec.seed, "perturb", spec.attempt),
        perturb=spec.perturb_level if spec.perturb_mode != "none" else "off",
        modules=spec.trace_modules,
        folders=spec.trace_folders,
        order=spec.order,
        order_suppressions=spec.order_suppressions,
        is_judged_elsewhere=True,
        box=box,
    )


def _outcome(reports: list[pytest.TestReport]) -> dict[str, str]:
    """Return how the test ended on one thread, in pytest's words."""
    for report in reports:
        if report.skipped:
            if hasattr(report, "wasxfail"):
                return {"outcome": "xfailed", "reason": str(report.wasxfail)}
            return {"outcome": "skipped", "reason": _skip_reason(report)}
    return {"outcome": "failed" if any(one.failed for one in reports) else "passed"}


def _unlike_alone(reports: list[pytest.TestReport]) -> list[Finding]:
    """Return a finding where the test skips itself, which it did not alone; an expected failure is no finding."""
    skipped = [one for one in reports if one.skipped and not hasattr(one, "wasxfail")]
    if not skipped:
        return []
    text = f"skipped from threads, though not alone: {_skip_reason(skipped[0])}"
    return [Finding(Verdict.INCONCLUSIVE, "skipped", text)]


def _finding(report: pytest.TestReport) -> Finding:
    """Return what is wrong: a race may be in the test's calls; its fixtures are set up one after another."""
    text = f"{_in_phase(report)}{_message(report)}"
    if Verdict.UNORDERED.word in text.partition(":")[0]:
        return Finding(Verdict.UNORDERED, "unordered", text, trace=report.longreprtext)
    verdict = Verdict.RACE if report.when == "call" else Verdict.ERROR
    return Finding(verdict, "exception", text, trace=report.longreprtext)


def _in_phase(report: pytest.TestReport) -> str:
    return "" if report.when == "call" else f"in {report.when}: "


def _message(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    return next((line for line in text.splitlines() if line.strip()), "no text").strip()


def _skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return text.removeprefix("Skipped: ")


def _synchronize(spec: ChildSpec, result: dict[str, Any]) -> list[Finding]:
    """Wait for the device, so that an error of its work is this test's, and so is an order that it did not keep."""
    from stress.child.checked_order import unkept
    from stress.device.devices import Core
    from stress.device.devices import Sim
    from stress.device.devices import open_device

    device = open_device(spec.device)
    try:
        device.synchronize()
    except Exception as error:
        verdict = Verdict.RACE if spec.kind == "crew" else Verdict.ERROR
        return [Finding(verdict, "exception", f"at the synchronisation after the test: {one_line(error)}")]
    if not isinstance(device, Sim | Core):
        return []
    if spec.kind == "crew" and isinstance(device, Sim):
        result["device_statistics"] = device.statistics()
    return unkept(device.take_broken_promises(), result)
