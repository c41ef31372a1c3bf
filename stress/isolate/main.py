"""A fresh interpreter's main program: `... SPEC PARENT`, or `... --spare LIBRARY PARENT` to wait for a spec.

A spare has torch imported and waits on stdin for a spec's path, so that on platforms that must not fork
an attempt after a crash starts as fast as any other.
"""

from __future__ import annotations

import atexit
import os
import sys
from pathlib import Path
from typing import Any

from stress.device import operator_patch
from stress.isolate import process
from stress.model.spec import ChildSpec
from stress.model.spec import load_spec


def main() -> None:
    process.die_with_parent(int(sys.argv[-1]))
    if sys.argv[1] == "--spare":
        from stress.isolate.server import preload

        preload(sys.argv[2])
        line = sys.stdin.readline()
        if not line:
            os._exit(0)
        spec = load_spec(Path(line.rstrip("\n")))
    else:
        spec = load_spec(Path(sys.argv[1]))
    try:
        process.prepare(spec)
        if spec.kind != "process":
            from stress.isolate import child

            child.run(spec)
            sys.stdout.flush()
            sys.stderr.flush()
    except BaseException as error:
        process.fail(spec, error)
    if spec.kind == "process":
        run_program(spec)  # and return: this process ends as any program does
    else:  # as a forked child does: how a process finalises is the subject of ProcessScenario alone
        os._exit(0)


def run_program(spec: ChildSpec) -> None:
    """Run a `ProcessScenario`'s body as this interpreter's main program, leaving marks for the parent."""
    from stress.isolate import child
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
    result: child.Result = {"findings": [], "notes": []}
    try:
        if spec.sim is not None:
            from stress.device.sim import loading

            loading.prepare(spec)
        operator_patch.apply(spec.operators, spec.device)
        scenario = load_scenario(
            spec.scenario, threads=spec.threads, device_type=spec.device, overrides=spec.overrides
        )
    except BrokenScenario as error:
        result["findings"] = [broken("scenario", str(error)).to_data()]
        _write(spec, result)
        return
    from stress.device.devices import open_device
    from stress.model import seeds
    from stress.workload import Raised

    seeds.seed_generators(spec.seed)
    box.stage("crew")
    try:
        scenario.body(open_device(spec.device).torch_device)
    except BaseException as error:
        found = Raised.of(error).finding("the body raised ")
        if isinstance(error, AssertionError):
            found.verdict = Verdict.MISMATCH
        result["findings"] = [found.to_data()]
        _write(spec, result)
        raise
    box.flag(FLAG_BODY_FINISHED)
    box.stage("done")
    _write(spec, result)


def _write(spec: ChildSpec, result: dict[str, Any]) -> None:
    from stress.isolate import child

    try:
        child.write_result(spec, result)
    except OSError as error:
        process.fail(spec, error)


if __name__ == "__main__":
    main()
