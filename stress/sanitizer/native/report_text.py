"""The report of a case: the block of one that is not green, the list, and the same as data."""

from __future__ import annotations

import shlex
from pathlib import Path

from stress.model.verdict import Verdict
from stress.sanitizer.native.harness import METAL_VARIABLE
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.result import CaseResult

FINDINGS_SHOWN = 5
STDERR_LINES_SHOWN = 8


def block(result: CaseResult, folder: Path) -> str:
    """Return what was found and where, so that it can be pasted into an issue."""
    lines = [f"{result.name}: {result.word} in {_often(result)}"]
    if result.harness.core is not None:
        lines.append(f"  on core ({result.harness.subject})")
    elif result.harness.simulated:
        lines.append("  on the simulated Metal, not on Metal")
    shown = next((one for one in result.runs if one.verdict == result.verdict), result.runs[0])
    lines += [f"  {finding.verdict}: {finding.text}" for finding in shown.findings[:FINDINGS_SHOWN]]
    if len(shown.findings) > FINDINGS_SHOWN:
        lines.append(f"  ... and {len(shown.findings) - FINDINGS_SHOWN} more (in the record)")
    diagnosis = shown.diagnosis
    if diagnosis is not None and diagnosis.signature:
        lines.append(f"  signature: {diagnosis.signature}: {diagnosis.meaning}")
    if result.verdict == Verdict.INCONCLUSIVE:
        lines += [f"  why: {reason}" for reason in dict.fromkeys([*result.amiss, *shown.reasons])]
    stderr = [line for line in shown.ran.stderr.splitlines() if line.strip()]
    if stderr:
        lines.append("  stderr of the process:")
        lines += [f"    {line}" for line in stderr[-STDERR_LINES_SHOWN:]]
    lines += [f"  note: {note}" for note in result.notes]
    lines.append(f"  repeat: {repeat_command(result)}")
    if "report" in shown.ran.files:
        lines.append(f"  read:   mps-stress explain {folder / shown.ran.files['report']}")
    return "\n".join(lines)


def _often(result: CaseResult) -> str:
    same = sum(one.verdict == result.verdict for one in result.runs)
    return f"{same if result.failures else len(result.runs)} of {len(result.runs)} runs"


def repeat_command(result: CaseResult) -> str:
    """Return the command that repeats the case with the same seeds; thread scheduling may differ."""
    harness = result.harness
    metal = harness.env.get(METAL_VARIABLE)
    before = f"{METAL_VARIABLE}={shlex.quote(metal)} " if metal else ""
    tree = f" --pytorch={shlex.quote(harness.core.given)}" if harness.core is not None else ""
    fault = f" --fault={result.fault}" if result.fault else ""
    return (
        f"{before}mps-stress tsan{tree} --case={result.case} --threads={result.threads} "
        f"--iterations={result.iterations} --runs={len(result.runs)}{fault} --seed={result.seed:#x}"
    )


def listing_text(harness: Harness) -> str:
    """Return cases, controls and faults, one a line."""
    listing = harness.listing
    lines = ["cases"]
    for case in listing.cases.values():
        elsewhere = "" if harness.platform in case.platforms else f" ({' and '.join(case.platforms)} only)"
        lines.append(f"  {case.name}{elsewhere}: {case.about}")
    lines.append("controls, which run before every case")
    lines += [f"  {one.name}: {one.about}" for one in listing.controls.values()]
    if harness.core is not None:
        return "\n".join(lines)  # those that it names are mistakes of a caller's, none of the tree's
    lines.append("faults, each with the detector that must find it")
    lines += [f"  {one.name} ({one.detector}, in {one.case}): {one.about}" for one in listing.faults.values()]
    return "\n".join(lines)


def case_data(result: CaseResult) -> dict[str, object]:
    """Return the case as JSON can hold it."""
    return {
        "item": result.item,
        "case": result.case,
        "threads": result.threads,
        "iterations": result.iterations,
        "fault": result.fault,
        "verdict": str(result.verdict),
        "headline": result.headline,
        "sentence": result.sentence,
        "simulated": result.harness.simulated,
        "runs": len(result.runs),
        "counted": result.counted,
        "failures": result.failures,
        "races": result.races,
        "signatures": sorted({name for one in result.runs for name in one.ran.parsed.signatures}),
        "suppressed": dict(result.suppressed),
        "amiss": result.amiss,
        "seconds": [one.ran.seconds for one in result.runs],
        "memory_bytes_max": max(one.ran.memory_bytes_max for one in result.runs),
    }


def canaries(result: CaseResult) -> dict[str, object]:
    """Return how many canaries were found of those that ran beside the case; equal `runs` are the same runs."""
    problems = (result.controls.canary, result.controls.history)
    return {
        "runs": f"{result.harness.program.path} {result.threads} {result.iterations}",
        "found": sum(not one for one in problems),
        "planted": len(problems),
    }
