"""Run the body of a `ProcessScenario` as the main program of a fresh interpreter."""

from __future__ import annotations

import atexit
from typing import Any

from stress.child import process
from stress.device import operator_patch
from stress.model.spec import ChildSpec


def run_program(spec: ChildSpec) -> None:
    """Run a `ProcessScenario`'s body as this interpreter's main program, leaving marks for the parent."""
    from stress.child import tasks
    from stress.model.blackbox import FLAG_BODY_FINISHED
    from stress.model.blackbox import FLAG_FINALISATION_ENTERED
    from stress.model.blackbox import BlackBox
    from stress.model.errors import BrokenScenario
    from stress.model.finding import broken
    from stress.model.verdict import Verdict
    from stress.scenario.file import load_scenario

    assert spec.scenario is not None
    box = BlackBox(spec.file("blackbox"), 0)
    atexit.register(box.flag, FLAG_FINALISATION_ENTERED)  # registered first, so it runs after all others
    box.stage("import")
    result: tasks.Result = {"findings": [], "notes": []}
    try:
        from stress.device import preparation

        preparation.prepare(spec)
        operator_patch.apply(spec.operators, spec.device)
        scenario = load_scenario(
            spec.scenario, threads=spec.threads, device_type=spec.device, overrides=spec.overrides
        )
    except BrokenScenario as error:
        result["findings"] = [broken("scenario", str(error)).to_data()]
        _write(spec, result)
        return
    from stress.child.checked_order import checked_order
    from stress.child.checked_order import unkept
    from stress.child.workload import Raised
    from stress.device.devices import Core
    from stress.device.devices import Sim
    from stress.device.devices import open_device
    from stress.model import seeds

    seeds.seed_generators(spec.seed)
    box.stage("crew")
    device = open_device(spec.device)
    try:
        with checked_order(spec.order, spec.order_suppressions) as order:
            order.start()
            scenario.body(device.torch_device)
            findings = order.stop(result)
    except BaseException as error:
        found = Raised.of(error).finding("the body raised ")
        if isinstance(error, AssertionError):
            found.verdict = Verdict.MISMATCH
        result["findings"] = [found.to_data()]
        _write(spec, result)
        raise
    if isinstance(device, Sim | Core):
        findings += unkept(device.take_broken_promises(), result)
    result["findings"] = [one.to_data() for one in findings]
    box.flag(FLAG_BODY_FINISHED)
    box.stage("done")
    _write(spec, result)


def _write(spec: ChildSpec, result: dict[str, Any]) -> None:
    from stress.child import tasks

    try:
        tasks.write_result(spec, result)
    except OSError as error:
        process.fail(spec, error)
