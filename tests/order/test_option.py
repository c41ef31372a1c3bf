"""`--mps-order`: which attempts check, what a run says of it, and bad values."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from stress.commands.explain.explain import explain
from stress.commands.explain.printing import rendered
from stress.commands.explain.records import broken_promises_of
from stress.commands.explain.records import pairs_of
from stress.commands.replay.find import find
from stress.commands.show.attempt import attempt_text
from tests.acceptance import Ran
from tests.acceptance import run_in

SUBJECT = """
from stress.scenario import streams

class Unordered(Scenario):
    iterations = 2
    exempt = {"no device work": "it is about order"}
    def setup(self, device):
        return torch.ones(32, 32, device=device)
    def make_input(self, generator):
        return torch.randn(32, 32, generator=generator)
    def step(self, state, x):
        state.add_(0)
        return x * 2

class Ordered(Scenario):
    iterations = 2
    def setup(self, device):
        return torch.nn.Linear(32, 32).to(device)
    def make_input(self, generator):
        return torch.randn(32, 32, generator=generator)
    def step(self, state, x):
        return state(x)

class InThreadsOfItsOwn(Ordered):
    def setup(self, device):
        return torch.ones(32, device=device)
    def step(self, state, x):
        def body():
            state.mul_(1)
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()
        return x * 2

class Wrong(Ordered):
    def step(self, state, x):
        return x * (1 if threading.current_thread().name.startswith("crew-0-1") else 2)
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run_in(tmp_path_factory.mktemp("strict"), SUBJECT, "--mps-attempts=2", "--mps-order=strict")


def orders(ran: Ran, name: str) -> list[dict[str, Any] | None]:
    return [one.get("order") for one in ran.ends(name)]


def test_the_first_attempt_checks_and_the_others_do_not(strict: Ran) -> None:
    first, second = orders(strict, "Ordered[t4]")
    assert first is not None
    assert (first["level"], first["unordered"], first["pairs"]) == ("strict", 0, [])
    assert first["accesses"] > 20
    assert second is None
    starts = [one for one in strict.records if one["kind"] == "attempt_start" and one["role"] == "crew"]
    assert {one.get("order") for one in starts if one["attempt"] == 0} == {"strict"}
    assert {one.get("order") for one in starts if one["attempt"] == 1} == {None}


def test_a_finding_is_a_verdict_with_both_sides(strict: Ran) -> None:
    item = strict.items["Unordered[t4]"]
    assert (item["verdict"], item["failures"]) == ("unordered", 1)
    [end, _] = strict.ends("Unordered[t4]")
    [pair] = end["order"]["pairs"][:1]
    assert pair["signature"] == (
        "hazard=WAW kind=host-host op=aten::add_.Tensor(self) prior=aten::add_.Tensor(self) device=cpu"
    )
    assert "subject.py" in pair["later"]["line"]
    assert "thread " in pair["later"]["where"]
    assert "iteration " in pair["later"]["where"]
    assert "UNORDERED in 1 (1 checked the order) of 2 attempts" in strict.text
    assert "would do      hand over by a lock, queue or join" in strict.text
    assert "hazard=WAW kind=host-host" in strict.text
    assert "order checked at level strict" in strict.text


def test_threads_that_a_step_starts_are_seen(strict: Ran) -> None:
    assert strict.items["InThreadsOfItsOwn[t4]"]["verdict"] == "unordered"


PROGRAMS = """
import torch
from torch.nn import functional

def in_threads(work):
    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

class Unordered(ProcessScenario):
    def body(self, device):
        x = torch.ones(32, device=device)
        in_threads(lambda: x.add_(0))

class Linear(ProcessScenario):
    def body(self, device):
        x, weight = torch.ones(64, 64, device=device), torch.ones(64, 64, device=device)
        in_threads(lambda: [functional.linear(x, weight) for _ in range(50)])
"""


def test_process_scenarios_are_checked(tmp_path: Path) -> None:
    ran = run_in(tmp_path, PROGRAMS, "--mps-attempts=2", "--mps-order=strict")
    assert (ran.items["Unordered[t4]"]["verdict"], ran.items["Linear[t4]"]["verdict"]) == (
        "unordered",
        "pass",
    )
    checked, other = ran.ends("Unordered[t4]")
    assert checked["order"]["pairs"][0]["kind"] == "host-host"
    assert (other["verdict"], "order" in other) == ("pass", False)


@pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")
def test_a_process_scenario_reports_what_the_device_did_not_keep(tmp_path: Path) -> None:
    more = ("--mps-device=sim", "--mps-sim-faults=linear_shared_scratch:1", "-k", "Linear")
    ran = run_in(tmp_path, PROGRAMS, "--mps-attempts=1", *more)
    assert ran.items["Linear[t4]"]["verdict"] == "unkept"
    [end] = ran.ends("Linear[t4]")
    assert end["unkept"][0]["promise"] == "scratch"


def test_a_wrong_value_says_whose_it_is(strict: Ran) -> None:
    first, second = strict.ends("Wrong[t4]")
    assert (first["verdict"], second["verdict"]) == ("mismatch", "mismatch")
    assert "order: the scenario orders all its accesses to tensors" in first["findings"][0]["text"]
    assert not any("order:" in one["text"] for one in second["findings"])


KNOWN = "hazard=WAW kind=host-host op=aten::add_.Tensor(self) prior=* device=cpu"
INI_LINES = f"""mps_order_suppressions =
    {KNOWN} -- an approximate count is enough
    hazard=RAW kind=reuse * -- it was there once
"""


def test_a_suppressed_finding_is_counted_and_an_unused_suppression_reported(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{INI_LINES}")
    ran = run_in(tmp_path, SUBJECT, "--mps-attempts=1", "--mps-order=strict", "-k", "Unordered or Threads")
    assert ran.items["Unordered[t4]"]["verdict"] == "pass"
    assert ran.items["InThreadsOfItsOwn[t4]"]["verdict"] == "unordered", (
        "another finding, which nothing suppresses"
    )
    [end] = ran.ends("Unordered[t4]")
    assert (end["order"]["suppressed"], end["order"]["pairs"]) == ({KNOWN: 1}, [])
    assert end["order"]["unordered"] == 1, "it is unordered all the same"
    assert f"order: suppressed 1 findings, an approximate count is enough: {KNOWN}" in ran.text
    assert "order: a suppression matched nothing in 2 checked attempts: hazard=RAW kind=reuse *" in ran.text


DECLARED = """
class Counts(Scenario):
    iterations = 2
    exempt = {"no device work": "it is about order", "equal outputs": "it is about order"}
    unordered = {"hazard=* kind=host-host op=aten::add_.Tensor(self) *": "an approximate count is enough"}
    def setup(self, device):
        return torch.zeros(8)
    def step(self, state, x):
        state.add_(1.0)
        return 0

class HandedOverByAQueueOfTheState(Scenario):
    iterations = 3
    threads_min = 2
    exempt = {"no device work": "it is about order", "equal outputs": "it is about order"}
    def setup(self, device):
        return Pairs(self.threads, capacity=1)
    def step(self, state, x):
        me = stress.current().thread_index
        if state.makes(me):
            state.put(me, torch.ones(8))
        return state.get(me).sum() if state.takes(me) else torch.tensor(8.0)
    def reference(self, device, inputs):
        return [[torch.tensor(8.0) for _ in one] for one in inputs]
"""


def test_what_a_scenario_declares_is_noted_and_no_failure(tmp_path: Path) -> None:
    ran = run_in(tmp_path, DECLARED, "--mps-attempts=1", "--mps-order=strict", "-k", "Counts")
    assert ran.items["Counts[t4]"]["verdict"] == "pass"
    assert "order: 1 unordered pair declared: an approximate count is enough" in ran.text


def test_a_lock_that_the_setup_makes_is_seen(tmp_path: Path) -> None:
    """The check began behind the setup: a queue of the scenario's state ordered nothing then."""
    source = "from stress.scenario.handover import Pairs\n" + DECLARED
    ran = run_in(tmp_path, source, "--mps-attempts=1", "--mps-order=strict", "-k", "HandedOver")
    assert ran.items["HandedOverByAQueueOfTheState[t4]"]["verdict"] == "pass", ran.text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (KNOWN, "' -- ' and the reason"),
        (f"{KNOWN} --", "' -- ' and the reason"),
        ("kind=reuse -- all of them", "expected the last line of a finding"),
        (f"{KNOWN} -- a\n    {KNOWN} -- b", "is suppressed twice"),
    ],
)
def test_a_suppression_without_a_pattern_or_a_reason_is_refused(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nmps_order_suppressions =\n    {line}\n")
    ran = run_in(tmp_path, SUBJECT, "--mps-attempts=1", "--mps-order")
    assert ran.result.ret == 4
    assert said in "\n".join(ran.result.errlines)


def test_one_thread_has_nothing_unordered(strict: Ran) -> None:
    assert all(one["verdict"] == "pass" for one in strict.ends("Unordered[t4]", "control"))


def test_all_attempts_check_with_all(tmp_path: Path) -> None:
    ran = run_in(tmp_path, SUBJECT, "--mps-attempts=2", "--mps-order=all", "-k", "Ordered or Wrong")
    assert [one and one["level"] for one in orders(ran, "Ordered[t4]")] == ["device", "device"]
    assert ran.items["Unordered[t4]"]["verdict"] == "pass", (
        "threads are the host's, and level device takes those as ordered"
    )
    wrong = ran.ends("Wrong[t4]")[0]["findings"][0]["text"]
    assert "order: level device has seen no access of a stream, so that it says nothing" in wrong, (
        "threads that share memory of the CPU are not this level's matter: it must not acquit the scenario"
    )
    assert "--mps-order=all" in next(one["command"] for one in ran.records if one["kind"] == "attempt_start")


def test_explain_and_show_print_both_sides(strict: Ran) -> None:
    assert strict.folder is not None
    explanation = explain(str(strict.folder), io.BytesIO())
    text = rendered(explanation, width=120, color=False)
    assert "unordered, order/host-host aten::add_.Tensor(self) <> aten::add_.Tensor(self)" in text
    assert "would do      hand over by a lock, queue or join" in text
    shown = [one["signature"] for one in explanation.as_json()["failures"]]  # type: ignore[attr-defined]
    assert "order/host-host aten::add_.Tensor(self) <> aten::add_.Tensor(self)" in shown
    [end, _] = strict.ends("Unordered[t4]")
    found = find(f"{strict.folder.name}/{end['serial']}", strict.folder.parents[2], strict.folder.parent)
    assert "\n    hazard=WAW kind=host-host" in attempt_text(found)


def test_a_record_that_holds_anything_is_explained_without_it() -> None:
    made: dict[str, Any]
    for made in (
        {},
        {"order": 3},
        {"order": {"pairs": 3}},
        {"order": {"pairs": [7, {}, {"hazard": "?", "later": {}, "earlier": {}}]}},
    ):
        assert list(pairs_of(made)) == []
    for made in ({}, {"unkept": 3}, {"unkept": [7, {}, {"promise": "none"}]}):
        assert list(broken_promises_of(made)) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--mps-order", "scenarios"], "or write the option alone, after the files"),
        (["--mps-order=loose"], "choose one of first, all, strict"),
        (["--mps-order", "--mps-tsan", "--mps-device=sim"], "leave out --mps-tsan"),
    ],
)
def test_a_bad_value_names_the_way_out(tmp_path: Path, given: list[str], said: str) -> None:
    ran = run_in(tmp_path, SUBJECT, *given)
    assert ran.result.ret == 4
    assert said in ran.result.stderr.str()
