"""The failure block: text that a maintainer can paste into an issue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.device.core.tree import device_text
from stress.device.sim.zoo import DESIGN_DEFAULT
from stress.diagnose import parse_stacks
from stress.diagnose import summarise
from stress.diagnose.signatures import default_signatures
from stress.model import stats
from stress.model.text import count
from stress.model.verdict import Verdict
from stress.plugin.terminal.words import often
from stress.plugin.terminal.words import word_of_item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.isolate.attempt import Attempt
    from stress.model.blackbox import Stamp
    from stress.model.finding import Finding
    from stress.plugin.item import ItemResult
    from stress.plugin.run import Run

NATIVE_LINES_MAX = 30
FINDINGS_MAX = 3
TRACE_LINES_MAX = 8
STACK_LINES_MAX = 40


def failure_block(result: ItemResult, run: Run) -> str:
    """Return the block: what failed how often, the control beside it, the evidence, the command."""
    lines = [result.shared_writes] if result.failures and result.shared_writes else []
    lines += [
        _headline(result),
        *_clusters(result),
        *_simulated(run),
        *_fresh(result),
        *_recorded(result),
        *_control(result),
    ]
    first = result.first_failure
    if first is not None:
        lines += _attempt(first, run)
    if result.headline and (
        first is None or not first.judged.findings or result.verdict != first.judged.verdict
    ):
        lines += [] if any(result.headline in line for line in lines) else [f"  {result.headline}"]
    lines += _code(result)
    lines += [f"  note: {note}" for note in result.notes]
    lines.append(f"  repeat: {result.command}")
    lines.append(f"          ({_promise(first, run)})")
    if replay := replay_of(result, run):
        lines.append(f"  replay: {replay}")
    if first is not None and first.files:
        lines.append(f"  files:  {run.folder_path}: {', '.join(sorted(first.files.values()))}")
    return "\n".join(lines)


def replay_of(result: ItemResult, run: Run) -> str:
    """Return the command that runs the shown failure again; empty where there is none, or replay does not take it."""
    first = result.first_failure
    is_attempt = first is not None and first.serial and first.role != "reference" and first.tsan is None
    if first is None or not is_attempt or not result.is_replayable:
        return ""
    history = " --history" if first.judged.verdict == Verdict.AGED else ""
    return f"{run.replay_command(first.serial)}{history}"


def _code(result: ItemResult) -> list[str]:
    """Return what the threads ran, where the scenario's file alone does not show it."""
    lines = [f"    {line}".rstrip() for line in result.code.splitlines()]
    return ["  what the threads ran:", *lines] if lines else []


def _simulated(run: Run) -> list[str]:
    """Say that this is not Metal, and which faults are planted in it."""
    if run.device is not None and run.device.core is not None:
        return [f"  on {device_text(run.device.core.tree, run.device.core.cpu_families_briefly)}"]
    sim = run.device.sim if run.device is not None else None
    if sim is None:
        return []
    design = sim.settings.design
    faults = ", ".join(one.told for one in sim.settings.faults) or "no fault armed"
    lines = [f"  on the simulated device, not on Metal (design {design}; {faults})"]
    if design != DESIGN_DEFAULT and not sim.settings.faults:
        lines.append(
            f"  threads have streams of their own in design {design}, and a lock in Python does not order them: "
            f"--mps-sim-design={DESIGN_DEFAULT} is PyTorch's"
        )
    return lines


def _promise(first: Attempt | None, run: Run) -> str:
    """Return what a repetition shares with this run."""
    sim = run.device.sim if run.device is not None else None
    if sim is None or sim.settings.schedule == "free":
        return "same inputs and perturbation; thread scheduling may differ"
    order = f" {first.device_order}" if first is not None and first.device_order else ""
    return f"same inputs, perturbation and device order{order}, unless a note says 'not replayable'"


def _headline(result: ItemResult) -> str:
    name = result.item.rpartition("::")[2]
    if not result.attempts:
        return f"{name}: {word_of_item(result)} before the first attempt"
    if not result.failures:
        return f"{name}: {word_of_item(result)} ({len(result.attempts)} attempts, {result.counted} of them counted)"
    interval = stats.interval_text(result.failures, result.processes)
    return f"{name}: {often(result)} ({100 * result.failures / result.processes:.1f} %, 95 % interval {interval})"


def _clusters(result: ItemResult) -> list[str]:
    return [f"  {result.clusters}"] if result.clusters else []


def _fresh(result: ItemResult) -> list[str]:
    if not result.fresh:
        return []
    serials = ", ".join(str(one.serial) for one in result.fresh)
    told = f"  fresh processes: {result.fresh_failures} of {len(result.fresh)} failed (attempts {serials})"
    aged = next((one for one in result.attempts if one.judged.verdict == Verdict.AGED), None)
    if aged is None:
        return [told]
    before = ", ".join(map(str, aged.before))
    return [told, f"  attempt {aged.serial} came after attempts {before} in process {aged.process}"]


def _recorded(result: ItemResult) -> list[str]:
    if not result.recorded:
        return []
    return [f"  recorded failures: {result.recorded_failures} of {len(result.recorded)} failed again"]


def _control(result: ItemResult) -> list[str]:
    if result.no_control:
        return [f"  control: none ({result.no_control})"]
    if not result.controls:
        return []
    failed = [one for one in result.controls if not one.judged.verdict.is_green]
    text = f"  control: one thread, same total work: {len(failed)} of {len(result.controls)} failed"
    if failed:
        text += (
            f" ({failed[0].judged.word}: {failed[0].judged.headline}): the failure does not need the threads"
        )
    return [text]


def _attempt(attempt: Attempt, run: Run) -> list[str]:
    judged = attempt.judged
    told = f": {judged.headline}" if not judged.findings else ""
    lines = [f"  attempt {attempt.number} ({attempt.conditions}): {judged.word}{told}"]
    if attempt.signature:
        lines.append(f"  signature: {attempt.signature}")
        lines += _returned(attempt.signature, run)
        if judged.diagnosis is not None and judged.diagnosis.meaning:
            lines.append(f"    {judged.diagnosis.meaning}")
            if judged.diagnosis.links:
                lines.append(f"    {'  '.join(judged.diagnosis.links)}")
            lines += [f"    next: {judged.diagnosis.next}"] if judged.diagnosis.next else []
    if judged.verdict in ("crash", "hang"):
        lines += [f"  {line}" for line in _stamps(judged.stamps)]
    for finding in judged.findings[:FINDINGS_MAX]:
        lines += [f"  {line}" for line in finding_lines(finding, TRACE_LINES_MAX)]
    more = len(judged.findings) - FINDINGS_MAX
    if more > 0:
        lines.append(f"  ... and {count(more, 'more finding')}: {run.show_command(attempt.serial)}")
    lines += _native(attempt)
    return lines


def _returned(signature: str, run: Run) -> list[str]:
    """Say at once that a failure is back which was fixed."""
    version = str(run.device.torch.get("version") or "") if run.device is not None else ""
    found = next((one.returned(version) for one in default_signatures() if one.id == signature), "")
    return [f"    {found}"] if found else []


def _stamps(stamps: Sequence[Stamp]) -> list[str]:
    """Return what the threads did last, one line for those that did the same."""
    doing: dict[tuple[bool, str, str, str], list[Stamp]] = {}
    for one in stamps:
        if one.status != "unused":
            doing.setdefault((one.worker is None, one.status, one.phase, one.op), []).append(one)
    return [_stamp_line(same) for same in doing.values()]


def _stamp_line(same: Sequence[Stamp]) -> str:
    if len(same) == 1:
        return str(same[0])
    what = str(same[0]).partition(": ")[2]
    iterations = ", ".join(dict.fromkeys(str(one.iteration) for one in same))
    what = what.replace(f"iteration {same[0].iteration},", f"iteration {iterations},")
    return f"threads {', '.join(str(one.worker) for one in same)}: {what}"


def finding_lines(finding: Finding, trace_lines_max: int) -> list[str]:
    """Return a finding as text: what and where, how far off it is, and the end of its traceback."""
    where = f"{finding.where}: " if finding.where else ""
    lines = f"{finding.name}: {where}{finding.text}".splitlines()
    if finding.error_max is not None:
        lines.append(f"  largest error {finding.error_max:.3g}, allowed {finding.error_allowed or 0:.3g}")
    if finding.trace:
        lines += [f"  {line}" for line in finding.trace.rstrip().splitlines()[-trace_lines_max:]]
    return lines


def _native(attempt: Attempt) -> list[str]:
    lines = []
    native = attempt.stderr.strip().splitlines()
    if native and not (len(native) == 1 and native[0].strip() in attempt.judged.headline):
        lines.append("  stderr of the process:")
        if len(native) > NATIVE_LINES_MAX:
            lines.append(f"    [{len(native) - NATIVE_LINES_MAX} lines left out]")
        lines += [f"    {line}" for line in native[-NATIVE_LINES_MAX:]]
    if attempt.stacks.strip() and attempt.judged.verdict in ("hang", "crash"):
        text = summarise(parse_stacks(attempt.stacks)).strip().splitlines()
        lines.append("  Python stacks:")
        lines += [f"    {line}" for line in text[:STACK_LINES_MAX]]
    return lines
