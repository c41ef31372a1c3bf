"""ThreadSanitizer in one pytest run: its needs, its controls, and what the run may claim. Parent side."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stress.device.clang import ToolchainError
from stress.device.sim.build import Say
from stress.device.sim.build import SimBuild
from stress.device.sim.zoo import DESIGN_DEFAULT
from stress.isolate.backend import IsolationError
from stress.isolate.supervisor import Supervisor
from stress.model.errors import BuildError
from stress.model.spec import ChildSpec
from stress.model.spec import CoreSpec
from stress.model.spec import SimSpec
from stress.sanitizer.instrumentation import CountError
from stress.sanitizer.python.audit import audit
from stress.sanitizer.python.build import TsanBuild
from stress.sanitizer.python.build import TsanBuilder
from stress.sanitizer.python.build import preloaded_library
from stress.sanitizer.python.build import the_toolchain
from stress.sanitizer.python.children import Children
from stress.sanitizer.python.children import python_options
from stress.sanitizer.python.control import problem_of
from stress.sanitizer.suppressions import SuppressionsError
from stress.sanitizer.tsan_options import OptionsError

CONTROL_DEADLINE_S = 180.0
LIBTORCH = "libtorch not instrumented: its code is not covered"


def build(say: Say, *, again: bool = False) -> SimBuild:
    """Return the instrumented device; raise `pytest.UsageError` that says what to install."""
    try:
        return TsanBuilder.default().ensure(say, again=again)
    except (ToolchainError, BuildError) as error:
        raise pytest.UsageError(f"--mps-tsan: {error}") from error


def children_of(library: Path, say: Say) -> Children:
    """Return how children with this instrumented device are started; raise `pytest.UsageError`."""
    try:
        toolchain = the_toolchain()
        options = python_options(toolchain, os.environ)
        made = TsanBuild.read(library)
        reasons = audit(options, made)
        preloaded = preloaded_library(say)
    except (ToolchainError, BuildError, OptionsError, SuppressionsError, CountError) as error:
        raise pytest.UsageError(f"--mps-tsan: {error}") from error
    return Children(toolchain, preloaded, options, made.units_text, tuple(reasons))


def control(
    supervisor: Supervisor, children: Children, *, sim: SimSpec | None = None, core: CoreSpec | None = None
) -> None:
    """Run the controls; if silence proves nothing, note why in `children`."""
    folder = Path(tempfile.mkdtemp(prefix="mps-stress-tsan-control-"))
    spec = ChildSpec(
        "stress.sanitizer.python.control:run",
        str(folder),
        "control",
        "sim" if core is None else "core",
        deadline_s=CONTROL_DEADLINE_S,
        sys_path=tuple(sys.path),
        sim=sim,
        core=core,
    )
    try:
        run = supervisor.run(spec, 0)
    except IsolationError as error:
        raise pytest.UsageError(f"--mps-tsan: no child process can be started: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert run.tsan is not None
    said = (run.result or {}).get("findings") or []
    problem = run.tsan.amiss or problem_of(run.tsan.parsed)
    if run.result is None:
        problem = f"the child with the controls died: {run.stderr.strip()[-300:] or run.exit}"
    elif said:
        problem = f"the controls could not run: {said[0]['text']}"
    children.reasons = (*children.reasons, *([f"controls: {problem}"] if problem else []))


def header_line(children: Children) -> str:
    """Return the line for the header of the run."""
    found = f"NOT USABLE ({children.problem})" if children.problem else "canaries found"
    return f"mps: ThreadSanitizer ({children.toolchain.version}): {found}; {children.units}; {LIBTORCH}"


def unseen_line(design: str, *, is_core: bool = False) -> str:
    """Return what silence does not cover on this design of the simulated device; "" where it covers kernels."""
    if is_core:
        return (
            "ThreadSanitizer: kernels on one stream of the tree's run one after another: a race of two of them shows only "
            "where the tree has several streams, a race of one with the host on any"
        )
    if design != DESIGN_DEFAULT:
        return ""
    return (
        f"ThreadSanitizer: design {design} has one stream for all threads, which orders their kernels: races of kernels "
        "show with --mps-sim-design=fork"
    )


def closing_lines(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what the run may claim, from what ThreadSanitizer said in its items; nothing without any."""
    if not told:
        return []
    reports = sum(one["reports"] for one in told)
    problems = sorted({one["problem"] for one in told if one["problem"]})
    matched: Counter[str] = Counter()
    for one in told:
        matched.update(one["suppressed"])
    foreign = sum(one["foreign"] for one in told)
    parts = [
        f"{reports} reports in {sum(one['attempts'] for one in told)} attempts",
        *([f"{foreign} more in code that is not instrumented, left out"] if foreign else []),
        f"NOT USABLE ({problems[0]})" if problems else "canaries found",
        told[0]["units"],
        LIBTORCH,
        "suppressions matched: "
        + (", ".join(f"{name} {count}" for name, count in matched.items()) or "none"),
    ]
    return [f"ThreadSanitizer: {'; '.join(parts)}"]
