"""Do the child's work: load the scenario, make a reference or run a crew, write one result file.

Runs in a process forked from the server, in a fresh interpreter, or (without isolation) in pytest's own.
"""

from __future__ import annotations

import importlib
import json
import os
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from stress.child import process
from stress.device import operator_patch
from stress.model.blackbox import BlackBox
from stress.model.blackbox import Writer
from stress.model.errors import BrokenScenario
from stress.model.errors import Inconclusive
from stress.model.errors import LibraryError
from stress.model.errors import says_out_of_memory
from stress.model.finding import Finding
from stress.model.finding import broken
from stress.model.spec import TESTS
from stress.model.spec import ChildSpec
from stress.model.verdict import Verdict
from stress.scenario.file import load_scenario
from stress.scenario.scenario import overrides
from stress.scenario.scenario import waves_of

if TYPE_CHECKING:
    from stress.child.checked_order import NoOrder
    from stress.child.oracle.reference import Reference
    from stress.child.workload import Workload

Result = dict[str, Any]
ALONE_RAISES = "one thread alone raises"


def _named(kind: str) -> Callable[[ChildSpec, Result], list[Finding]]:
    """Return the task that a spec names as "module:function": it stands in a room above this one."""
    module, _, function = kind.partition(":")
    task: Callable[[ChildSpec, Result], list[Finding]] = getattr(importlib.import_module(module), function)
    return task


def write_result(spec: ChildSpec, result: Result) -> None:
    """Write the result in one step, so that the parent never reads half of it."""
    partial = spec.file("result.part")
    partial.write_text(json.dumps(result))
    os.replace(partial, spec.file("result.json"))


def result_of(spec: ChildSpec, *, join_deadline_s: float | None = None) -> Result:
    """Do what `spec` says; return the result as data: findings, notes and figures. Raise nothing for what the scenario does."""
    result: Result = {"findings": [], "notes": []}
    body: dict[str, Callable[[ChildSpec, Result], list[Finding]]] = {
        "reference": _reference,
        "crew": lambda one, into: _crew(one, into, join_deadline_s),
        "probe": _probe,
    }
    try:
        if spec.kind == "probe":
            result["fingerprint"] = _fingerprint(spec)
        from stress.device import preparation

        preparation.prepare(spec)  # before the author's file, which may look for what torch.mps has
        operator_patch.apply(spec.operators, spec.device)
        kind = spec.kind if spec.test is None else f"{TESTS}:run"
        findings = (body.get(kind) or _named(kind))(spec, result)
    except LibraryError as error:
        findings = [Finding(Verdict.ERROR, "library", f"the simulated device cannot be loaded: {error}")]
    except operator_patch.OperatorError as error:
        findings = [broken(operator_patch.FINDING, str(error))]
    except BrokenScenario as error:
        findings = [broken("scenario", str(error))]
    except Inconclusive as error:
        findings = [Finding(Verdict.INCONCLUSIVE, "inconclusive", str(error))]
    except MemoryError as error:
        findings = [Finding(Verdict.OOM, "out-of-memory", f"while preparing: {error}")]
    except Exception as error:
        if isinstance(error, OSError) and error.errno in process.NO_ROOM:
            raise  # not the scenario's doing, and nothing that could be written here either
        out_of_memory = says_out_of_memory(str(error))
        trace = traceback.format_exc(limit=-12)
        findings = [
            Finding(Verdict.OOM, "out-of-memory", f"while preparing: {error}", trace=trace)
            if out_of_memory
            else Finding(
                Verdict.ERROR, "exception", f"while preparing: {type(error).__name__}: {error}", trace=trace
            )
        ]
    result["findings"] = [one.to_data() for one in findings]
    return result


def workload_of(spec: ChildSpec) -> Workload:
    """Return the scenario with its plan; raise `BrokenScenario` for one that cannot be run."""
    from stress.child.workload import Workload
    from stress.model.plan import Plan

    assert spec.scenario is not None
    scenario = load_scenario(
        spec.scenario, threads=spec.threads, device_type=spec.device, overrides=spec.overrides
    )
    try:
        plan = Plan.make(waves_of(scenario, spec.iterations))
    except ValueError as error:
        raise BrokenScenario(str(error)) from error
    return Workload(scenario, plan, seed=spec.seed)


def _reference(spec: ChildSpec, result: Result) -> list[Finding]:
    import torch

    from stress.child.authors_modules import AuthorsModules
    from stress.child.checked_order import unkept
    from stress.child.oracle import store
    from stress.child.oracle.reference import ReferenceMaker
    from stress.child.shared_writes import SharedWrites
    from stress.device.devices import Core
    from stress.device.devices import open_device

    torch.set_num_threads(1)
    clock = _Clock(result)
    box = BlackBox(spec.file("blackbox"), 0)
    box.stage("import")
    workload = workload_of(spec)
    clock.lap("import_s")
    device = open_device(spec.device)
    box.stage("references")
    watch = None
    if workload.plan.threads_max > 1 and not spec.device_only:
        assert spec.scenario is not None
        modules = AuthorsModules(spec.scenario.path, spec.trace_modules)
        watch = SharedWrites(workload.scenario, len(workload.roles), modules)
    maker = ReferenceMaker(workload, device, device_only=spec.device_only, watch=watch, lap=clock.lap)
    reference = maker.make()
    findings = _alone_findings(reference)
    if not findings and maker.cannot_fail is not None:
        findings = [maker.cannot_fail]
    if isinstance(device, Core):
        broken = unkept(device.take_broken_promises(), result)
        # They may say why one thread alone is no reference. Where it is one, the attempts report their own.
        findings = [*broken, *findings] if findings else []
    store.dump(spec.file("reference"), reference.to_data())
    clock.lap("write_s")
    result["runs"] = reference.runs
    result["slots"] = len(reference.full)
    if watch is not None:
        result["shared_writes"] = [one.to_data() for one in watch.found()]
        result["notes"] += [watch.problem] if watch.problem else []
    if reference.no_exact:
        result["notes"].append(reference.no_exact)
    box.stage("done")
    return findings


def _alone_findings(reference: Reference) -> list[Finding]:
    """Return the findings about the sequential runs alone: they must be worth comparing with."""
    raised = [one.raised[0] for one in reference.full if one.raised]
    missing = [one for one in raised if one.is_of_this_torch]
    if missing:
        return [missing[0].missing_function()]
    bad = [one for one in raised if one.is_control_flow]
    if bad:
        return [Finding(Verdict.ERROR, "exception", f"{ALONE_RAISES} {bad[0]}", trace=bad[0].trace)]
    if raised and len(raised) == len(reference.full):
        return [Finding(Verdict.ERROR, "exception", f"{ALONE_RAISES} {raised[0]}", trace=raised[0].trace)]
    if reference.not_repeatable:
        return [Finding(Verdict.INCONCLUSIVE, "device not repeatable", reference.not_repeatable)]
    if reference.wrong_alone:
        text = f"already wrong on one thread: {reference.wrong_alone}. Is dropout on? Random results need compare()"
        return [Finding(Verdict.ERROR, "wrong-alone", text)]
    return []


def _crew(spec: ChildSpec, result: Result, join_deadline_s: float | None) -> list[Finding]:
    from stress.child.checked_order import checked_order

    with checked_order(spec.order, spec.order_suppressions) as order:
        return _crew_checked(spec, result, join_deadline_s, order)


def _crew_checked(
    spec: ChildSpec, result: Result, join_deadline_s: float | None, order: NoOrder
) -> list[Finding]:
    import torch

    from stress.child.checked_order import blame_device
    from stress.child.checked_order import unkept
    from stress.child.crew import Crew
    from stress.child.oracle import store
    from stress.child.oracle.digest import ramps
    from stress.child.oracle.reference import Reference
    from stress.child.oracle.reference import fingerprint
    from stress.child.oracle.sequential import read_back
    from stress.child.perturb import dispatch_cache
    from stress.child.workload import moved
    from stress.device.devices import Core
    from stress.device.devices import Sim
    from stress.device.devices import open_device

    torch.set_num_threads(1)
    clock = _Clock(result)
    compiles = _count_compilations()
    workload = workload_of(spec)
    box = BlackBox(spec.file("blackbox"), workload.plan.workers)
    device = open_device(spec.device)
    box.stage("setup")
    readback = _readback(spec, workload)
    unused = () if readback == "digest" else ("digests",)
    references = [Reference.from_data(store.load(Path(path), unused)) for path in spec.references]
    # Before the scenario's own setup: one that measures the device's memory there would count the weights as a leak.
    weights = ramps(references[0].elements_max, device.torch_device) if readback == "digest" else None
    order.start()  # before the scenario makes its locks and queues: of those made earlier nothing is seen
    states = workload.make_states(device.torch_device)
    box.stage("inputs")
    cpu_inputs = workload.make_inputs()
    made = fingerprint(states, cpu_inputs)
    inputs = [moved(x, device.torch_device) for x in cpu_inputs]
    if made != references[0].fingerprint:
        raise BrokenScenario(
            "setup or make_input gave different values in two processes with one seed: "
            "draw only from the generators that the framework seeds"
        )
    if spec.perturb_mode == "op":
        dispatch_cache.resolve_all()
        dispatch_cache.fill(references[0].operators)
    clock.lap("prepare_s")
    box.stage("crew")
    crew = Crew(
        workload,
        device,
        states,
        inputs,
        box=box,
        readback=readback,
        per_thread_streams=spec.streams == "per-thread",
        perturbation=_perturbation(spec),
        weights=weights,
        poison_bytes=references[0].output_bytes,
        one_thread=spec.one_thread,
    ).run(join_deadline_s=join_deadline_s)
    clock.lap("crew_s")
    findings = list(crew.findings)
    if any(one.verdict == Verdict.HANG for one in findings):
        return findings
    findings += _compile_findings(compiles, torch)
    box.stage("finish")
    findings += _final_synchronize(device)
    finished = workload.finish(states)
    findings += order.stop(result)
    box.stage("readback")
    outcomes = [None if one is None else read_back(one) for one in crew.outcomes]
    finished = [read_back(one) for one in finished]
    clock.lap("readback_s")
    if isinstance(device, Sim | Core):
        findings += unkept(device.take_broken_promises(), result)
    if isinstance(device, Sim):
        result["device_statistics"] = device.statistics()
        if device.is_replayable:
            result["device_order"], why_not = device.order()
            result["notes"] += [f"not replayable: {why_not}"] if why_not else []
    box.stage("judge")
    findings += _judge(spec, workload, references, outcomes, finished, result)
    order.blame(findings)
    blame_device(findings)
    clock.lap("judge_s")
    result["device_memory"] = device.memory()
    result["threads_peak"] = crew.threads_peak
    result["hand_overs"] = workload.plan.hand_overs(crew.began_ns)
    result["main_steps"] = crew.main_steps
    box.stage("done")
    return findings


def _judge(
    spec: ChildSpec,
    workload: Workload,
    references: list[Reference],
    outcomes: list[Any],
    finished: list[Any],
    result: Result,
) -> list[Finding]:
    from stress.child.oracle.judge import Judge

    if _readback(spec, workload) == "digest":
        # The arbiter's value is small and read back whole; its expectations come after the slots'.
        slots = len(workload.plan.slots)
        paths = [one.digests[:slots] + one.full[slots:] for one in references]
    else:
        paths = [one.full for one in references]
    judge = Judge(workload.scenario, workload.plan, paths, varies_alone=references[0].varies_alone)
    judgement = judge.judge(outcomes, finished)
    if _readback(spec, workload) == "digest":
        for finding in (one for one in judgement.findings if one.verdict == Verdict.MISMATCH):
            finding.text += " (in the digest: mean, weighted mean, maximum, minimum of the output)"
    result["notes"] += judgement.notes
    result["judged"] = judgement.judged
    result["bitwise"] = judgement.bitwise
    result["wrong"] = judgement.wrong
    result["iterations_done"] = sum(one is not None for one in outcomes)
    return judgement.findings


def _readback(spec: ChildSpec, workload: Workload) -> str:
    """Return when outputs are read; an author's `compare` needs the whole value, which no digest has."""
    return "end" if spec.readback == "digest" and overrides(workload.scenario, "compare") else spec.readback


def _final_synchronize(device: Any) -> list[Finding]:
    """Wait for the device: errors of asynchronous work surface here at the latest."""
    try:
        device.synchronize()
    except Exception as error:
        text = f"at the final synchronisation: {type(error).__name__}: {error}"
        return [Finding(Verdict.RACE, "exception", text, trace=traceback.format_exc(limit=-4))]
    return []


def _perturbation(spec: ChildSpec) -> Callable[[int, Writer], Any]:
    if spec.perturb_mode == "none":
        return lambda _worker, _writer: nullcontext()
    from stress.child import perturb
    from stress.model import seeds

    assert spec.scenario is not None
    folders = (str(Path(spec.scenario.path).parent), *spec.trace_folders)
    scope = perturb.TraceScope(folders, spec.trace_modules)
    seed = seeds.derive(spec.seed, "perturb", spec.attempt)

    def make(worker: int, writer: Writer) -> Any:
        return perturb.Perturbation(
            spec.perturb_mode,
            spec.perturb_level,
            seed=seed,
            thread_index=worker,
            scope=scope,
            stamp=writer.op,
        )

    return make


def _count_compilations() -> list[int]:
    """Count calls of `torch.compile` from now on: an item that compiles must show compiled frames."""
    import torch

    calls = [0]
    original = torch.compile

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        return original(*args, **kwargs)

    torch.compile = counting
    return calls


def _compile_findings(calls: list[int], torch: Any) -> list[Finding]:
    if not calls[0]:
        return []
    frames = torch._dynamo.utils.counters["frames"]["ok"]
    if frames:
        return []
    text = "torch.compile was called, but no frame was compiled: the code ran eagerly"
    return [Finding(Verdict.INCONCLUSIVE, "not compiled", text)]


def _fingerprint(spec: ChildSpec) -> dict[str, object]:
    """Return what identifies the torch build, without what the simulated device adds or changes."""
    from stress.record.torch_build import fingerprint

    own = fingerprint()
    return own if spec.sim is None else {**own, "mps_built": False, "mps_available": False}


def _probe(spec: ChildSpec, result: Result) -> list[Finding]:
    """Report on the torch build and the device; the only task that may be given an absent device."""
    from stress.device.devices import open_device
    from stress.device.devices import visibility

    result["unavailable"] = visibility(spec.device)
    if result["unavailable"] is None:
        device = open_device(spec.device)
        result["capabilities"] = sorted(device.capabilities())
    return []


class _Clock:
    def __init__(self, result: Result) -> None:
        self._times: dict[str, float] = result.setdefault("times", {})
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._times[name] = round(now - self._last, 6)
        self._last = now
