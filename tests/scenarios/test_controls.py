"""No scenario's check is blind: faults planted into every scenario must be reported, and none without a fault.

Scenario classes are found in the files, so a new one is controlled at once, or fails here. The reference comes
from the scenario as it is, the crew from a subclass with the fault (`planted.py`), both in child processes.
"""

from __future__ import annotations

import importlib
import inspect
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stress import ProcessScenario
from stress import Scenario
from stress.device.sim.build import default_builder
from stress.device.sim.settings import SimSettings
from stress.isolate.judgement import judge
from stress.isolate.supervisor import Supervisor
from stress.model.errors import BuildError
from stress.model.plan import Plan
from stress.model.spec import READBACKS
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from stress.model.spec import SimSpec
from stress.model.verdict import Verdict
from stress.scenario.scenario import bind
from stress.scenario.scenario import combinations
from stress.scenario.scenario import waves_of

HERE = Path(__file__).parent
SCENARIOS = HERE.parent.parent / "scenarios"
planted = importlib.import_module("planted")  # beside this file, which is where pytest imports from

THREADS = 4
ITERATIONS = 4

GENERIC_FAULTS = ("exception", "stale", "cross-talk", "element", "state")
COUNTS_ONLY = {
    "AllocationChurn",
    "BeyondCapacity",
    "ChosenStreamSynchronizedByOthers",
    "ChosenStreams",
    "CopyOnATransferStream",
    "ElapsedTime",
    "EmptyCacheInUse",
    "ErrorDuringSynchronize",
    "EventAcrossThreads",
    "EventBetweenStreams",
    "EventPairs",
    "EventQueries",
    "ForkWhileActive",
    "LatencyDrift",
    "MainSynchronizes",
    "ManyAtOnce",
    "MemoryLevel",
    "Neighbours",
    "NonBlockingToDevice",
    "NothingToRecord",
    "PinnedReuse",
    "PoolAtCapacity",
    "PoolRefuses",
    "PoolTimesOut",
    "PoolWaits",
    "PressureAndRecovery",
    "RecordedAcrossThreads",
    "RecordedOnAllStreams",
    "RecordedUses",
    "ReleasedSlots",
    "ShortLivedThreads",
    "ShortWaits",
    "StashOnASideStream",
    "StaticInputOfAReplay",
    "StopWhileSubmitting",
    "StreamAssignment",
    "SynchronizeAllInUse",
    "SynchronizedByOthers",
    "ThreadExitWithWork",
    "TimedEventsLetGo",
}
"""Scenarios that count on the device what is wrong and return the count: right values are all alike, so that one of
an earlier iteration or of another thread is right too. Their counting is controlled by the fault "state"."""
MISSED_BY_DESIGN = {
    ("LayerNormAgreement", "stale"): "all its values are the same one; see 'disagreeing result'",
    ("LayerNormAgreement", "cross-talk"): "all its values are the same one; see 'disagreeing result'",
    ("LikeKernels", "cross-talk"): "all threads get the same value in one iteration",
    ("DefaultGenerator", "stale"): "who gets which draw is chance; see 'repeated draw'",
    ("DefaultGenerator", "cross-talk"): "who gets which draw is chance; see 'repeated draw'",
    ("DefaultGenerator", "element"): "a draw may be any number; see 'skipped draw'",
    ("ArangeLinspace", "state"): "its state only names the device",
    ("NativeLoop", "state"): "its state is a function",
    ("EventsBesideLoops", "state"): "its state is a function",
    ("MemoryLevel", "state"): "it counts bytes, not contents; see 'leak'",
    ("TimedEventsLetGo", "state"): "it counts bytes, not contents; see 'leak'",
    ("StopWhileSubmitting", "state"): "the queue was stopped before that; see 'weight changed'",
    **{
        (name, fault): "it returns what it counted, which is the same everywhere; see 'state'"
        for name in COUNTS_ONLY
        for fault in ("stale", "cross-talk")
    },
}
"""Generic faults that a scenario cannot see, with what controls it instead."""

ONLY_OWN = {"SpawnWhileActive": "each crew starts a process, which takes seconds"}
"""Scenarios that run with their own faults alone, one iteration long."""
SAME_AS = {
    "CompiledInductor": "CompiledEager",
    "LargePinnedReuse": "PinnedReuse",
    "PoolTimesOut": "PoolRefuses",
}
"""Scenarios whose check is that of another one, and that no control can afford, or that cannot run here."""

PROCESS_CONTROLS = {
    "ExitWithWork": "test_faults_at_exit_are_reported",
    "ExitWhileWorking": "test_faults_at_exit_are_reported",
}
"""ProcessScenario class -> the test that shows that its verdict is not blind."""


@dataclass(frozen=True)
class Subject:
    """One scenario class with one combination of its parameters."""

    path: Path
    cls: type[Any]
    indices: tuple[int, ...]
    values: tuple[Any, ...]
    is_first: bool

    def __str__(self) -> str:
        return "-".join([f"{self.path.stem}.{self.cls.__name__}", *(str(value) for value in self.values)])

    @property
    def ref(self) -> ScenarioRef:
        return ScenarioRef(str(self.path), self.path.stem, self.cls.__qualname__, self.indices)

    @property
    def threads(self) -> int:
        return max(THREADS, self.cls.threads_min)

    @property
    def iterations(self) -> int:
        return 1 if self.cls.__name__ in ONLY_OWN else ITERATIONS

    @property
    def inherits_its_check(self) -> bool:
        """Whether what judges is a controlled scenario's: its base class differs in parameters alone."""
        names = ("step", "steps", "main_step", "finish", "reference", "compare")
        bases = [one for one in self.cls.__mro__[1:] if one.__module__ == self.cls.__module__]
        return any(
            not one.__name__.startswith("_")
            and all(getattr(one, name) is getattr(self.cls, name) for name in names)
            for one in bases
        )

    @property
    def device(self) -> str:
        """Return the device that the controls run on: the simulated one for what the CPU does not have."""
        return "sim" if self.cls.requires else "cpu"


def classes() -> list[tuple[Path, type[Any]]]:
    """Return every collected scenario class of the files in scenarios/."""
    found: list[tuple[Path, type[Any]]] = []
    for path in sorted(SCENARIOS.glob("*.py")):
        source = path.read_text()
        if "Scenario" not in source:
            continue
        names = [
            line.split("(")[0].removeprefix("class ").strip()
            for line in source.splitlines()
            if line[:6] == "class "
        ]
        for name in names:
            cls = planted.load_class(str(path), name.rstrip(":"))
            if issubclass(cls, Scenario | ProcessScenario) and not name.startswith("_"):
                found.append((path, cls))
    return found


def subjects(*, canary: bool) -> list[Subject]:
    return [
        Subject(path, cls, indices, tuple(values.values()), number == 0)
        for path, cls in classes()
        if issubclass(cls, Scenario) and cls.canary is canary
        for number, (indices, values) in enumerate(combinations(cls))
    ]


@dataclass
class Runner:
    """Runs references and crews of one subject after another through one supervisor."""

    supervisor: Supervisor
    folder: Path
    sim: SimSpec | None = None
    count: int = 0

    def run(self, subject: Subject, kind: str, fault: str | None = None, **more: Any) -> list[dict[str, Any]]:
        """Return the child's findings; the crew is that of the subclass with the fault, if one is named."""
        self.count += 1
        name = "reference" if kind == "reference" else f"crew{self.count}"
        ref = subject.ref if fault is None else self._planted(subject, fault)
        scenario = bind(subject.cls, subject.indices, threads=subject.threads, device_type=subject.device)
        workers = Plan.make(waves_of(scenario, subject.iterations)).workers
        spec = ChildSpec(
            kind, str(self.folder), name, subject.device, ref, threads=subject.threads, iterations=subject.iterations, seed=7,
            references=() if kind == "reference" else (str(self.folder / "reference.reference"),),
            sys_path=(str(HERE), *sys.path), sim=self.sim if subject.device == "sim" else None, **more,
        )  # fmt: skip
        run = self.supervisor.run(spec, 0 if kind == "reference" else workers)
        assert run.result is not None, (
            f"{subject}: the {kind} ended with {run.exit}\n{run.stderr}{run.stacks}"
        )
        findings: list[dict[str, Any]] = run.result["findings"]
        return findings

    def _planted(self, subject: Subject, fault: str) -> ScenarioRef:
        module = f"control_{self.count}"
        path = self.folder / f"{module}.py"
        arguments = ", ".join(map(repr, (str(subject.path), subject.cls.__qualname__, fault)))
        path.write_text(f"from planted import make\n\nSubject = make({arguments})\n")
        return ScenarioRef(str(path), module, "Subject", subject.indices)

    def verdict_of_program(self, subject: Subject, fault: str) -> Verdict:
        """Run a process scenario with a fault of `planted.PROCESS`; return the parent's verdict."""
        self.count += 1
        spec = ChildSpec(
            "process", str(self.folder), f"program{self.count}", "cpu", self._planted(subject, fault),
            threads=subject.threads, seed=7, sys_path=(str(HERE), *sys.path),
        )  # fmt: skip
        return judge(self.supervisor.run(spec, 0)).verdict

    def failures(self, subject: Subject, fault: str, **more: Any) -> set[str]:
        """Run a crew with the fault; return the names of its findings, all of which must be failing verdicts."""
        findings = self.run(subject, "crew", fault, **more)
        others = [one for one in findings if not Verdict(one["verdict"]).is_failure]
        assert not others, f"{subject} with {fault!r}: {others[0]}"
        return {one["name"] for one in findings}


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    one = Supervisor()
    yield one
    one.close()


@pytest.fixture(scope="module")
def sim_supervisor() -> Iterator[tuple[Supervisor, SimSpec]]:
    """Give the simulated device, built if need be, in a server of its own: the CPU's controls run without it."""
    try:
        build = default_builder().ensure(print)
    except BuildError as error:
        pytest.skip(f"the simulated device cannot be built here: {error}")
    one = Supervisor(str(build.library))
    yield one, build.spec(SimSettings("fork"))
    one.close()


@pytest.fixture
def runner(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Runner]:
    subject = request.node.callspec.params["subject"] if hasattr(request.node, "callspec") else None
    if subject is not None and subject.device == "sim":
        supervisor, sim = request.getfixturevalue("sim_supervisor")
        yield Runner(supervisor, tmp_path, sim)
    else:
        yield Runner(request.getfixturevalue("supervisor"), tmp_path)
    shutil.rmtree(tmp_path, ignore_errors=True)  # references are megabytes


def faults_of(subject: Subject) -> list[str]:
    """Return all faults for the first combination of a class, and the smallest one for the others."""
    if subject.cls.__name__ in ONLY_OWN:
        return list(planted.OWN[subject.cls.__name__])
    if not subject.is_first or subject.inherits_its_check:
        return ["element"]
    generic = [fault for fault in GENERIC_FAULTS if (subject.cls.__name__, fault) not in MISSED_BY_DESIGN]
    if "state" in generic and not _has_state(subject):
        generic.remove("state")
    return generic + list(planted.OWN.get(subject.cls.__name__, {}))


def _has_state(subject: Subject) -> bool:
    import torch

    scenario = bind(subject.cls, subject.indices, threads=subject.threads, device_type="cpu")
    return bool(planted.floating_tensors(scenario.setup(torch.device("cpu"))))


def controlled() -> list[Subject]:
    """Return what the controls run: of a class of the full profile, one combination of its parameters."""
    return [
        one
        for one in subjects(canary=False)
        if one.cls.__name__ not in SAME_AS and (one.is_first or one.cls.attempts_quick != 0)
    ]


@pytest.mark.parametrize("subject", controlled(), ids=str)
def test_planted_faults_are_reported(subject: Subject, runner: Runner) -> None:
    faults = faults_of(subject)
    if not faults or (not subject.is_first and (subject.cls.__name__, "element") in MISSED_BY_DESIGN):
        faults = list(planted.OWN[subject.cls.__name__])
    assert runner.run(subject, "reference") == []
    assert runner.run(subject, "crew", "none") == []
    for number, fault in enumerate(faults):
        found = runner.failures(subject, fault, readback=READBACKS[number % len(READBACKS)])
        assert found, f"{subject} does not see {fault!r}: its check is blind to it"


def process_subjects() -> list[Subject]:
    return [
        Subject(path, cls, indices, tuple(values.values()), number == 0)
        for path, cls in classes()
        if issubclass(cls, ProcessScenario)
        for number, (indices, values) in enumerate(combinations(cls))
    ]


@pytest.mark.parametrize("subject", process_subjects(), ids=str)
def test_faults_at_exit_are_reported(subject: Subject, runner: Runner) -> None:
    if subject.is_first:  # the fault-free form of the others is what every run shows
        assert runner.verdict_of_program(subject, "none") == Verdict.PASS
    assert runner.verdict_of_program(subject, "dies at exit") == Verdict.CRASH
    if "atexit" in subject.values:
        assert runner.verdict_of_program(subject, "wrong at exit") == Verdict.CRASH


@pytest.mark.parametrize("subject", subjects(canary=True), ids=str)
def test_canary_is_found_every_time_and_silent_alone(subject: Subject, runner: Runner) -> None:
    assert runner.run(subject, "reference") == []
    assert runner.run(subject, "crew", one_thread=True) == []
    modes = ("none", "op", "line", "opcode", "none")
    for attempt, mode in enumerate(modes):
        level = "off" if mode == "none" else "low"
        readback = READBACKS[attempt % len(READBACKS)]
        findings = runner.run(
            subject, "crew", readback=readback, attempt=attempt, perturb_mode=mode, perturb_level=level
        )
        assert any(Verdict(one["verdict"]).is_failure for one in findings), (
            f"attempt {attempt} of {subject} is blind"
        )


@pytest.mark.parametrize(
    ("path", "cls"), classes(), ids=lambda value: getattr(value, "__name__", None) or value.stem
)
def test_class_says_what_it_does_and_where_it_comes_from(path: Path, cls: type[Any]) -> None:
    assert path.stem not in sys.stdlib_module_names
    text = inspect.cleandoc(cls.__dict__.get("__doc__") or "")
    assert text.endswith("."), f"{cls.__name__} needs a docstring of its own: one sentence, ended by a period"
    assert "\n" not in text, f"{cls.__name__}: the docstring is one line, which reports show"
    assert cls.origin, f"{cls.__name__}.origin: issue links, or a sentence"
    assert not isinstance(cls.origin, str)
    assert all(isinstance(row, int) and 1 <= row <= 30 for row in cls.rows)
    assert cls.rows or cls.canary, f"{cls.__name__}.rows: the rows of the coverage table"
    if issubclass(cls, ProcessScenario):
        assert cls.__name__ in PROCESS_CONTROLS, (
            f"{cls.__name__}: name the test that controls it in PROCESS_CONTROLS"
        )


def test_rows_that_have_scenarios_are_covered() -> None:
    rows = {row for _, cls in classes() for row in cls.rows}
    assert rows >= {*range(1, 15), *range(16, 26), 27, 28, 30}


def test_every_exemption_names_a_class_that_is_there() -> None:
    names = {cls.__name__ for _, cls in classes()}
    assert {name for name, _ in MISSED_BY_DESIGN} | set(planted.OWN) <= names
    assert {*PROCESS_CONTROLS, *ONLY_OWN, *SAME_AS, *SAME_AS.values()} <= names
