"""The report of minimise: the table of what was tried, the smallest configuration, and the script's own rate."""

from __future__ import annotations

from collections.abc import Sequence

from stress.commands.minimise.candidates import described
from stress.commands.minimise.scripts import ScriptRate
from stress.commands.minimise.search import Search
from stress.commands.minimise.search import Trial
from stress.commands.replay.find import shown
from stress.commands.replay.repetition import Configuration
from stress.commands.replay.repetition import Repetition
from stress.commands.replay.report import rate_sentence
from stress.model import stats
from stress.model.sequential import ALPHA
from stress.model.sequential import BETA
from stress.model.verdict import Verdict

_WIDTH_MAX = 60


def table(trials: Sequence[Trial]) -> str:
    """Return one line per configuration that was tried, in the order in which they were."""
    width = min(_WIDTH_MAX, max(len(one.text) for one in trials))
    lines = [f"{'tried':{width}}  {'failed':>9}  {'rate, 95 %':>13}"]
    lines += [trial_line(one, width) for one in trials]
    return "\n".join(lines)


def trial_line(trial: Trial, width: int = 40) -> str:
    """Return one configuration, how often it failed, and whether it was kept."""
    text = shown(trial.text, _WIDTH_MAX)
    often = f"{trial.failures}/{trial.n}"
    rate = stats.interval_text(trial.failures, trial.n) if trial.n else ""
    word = "kept" if trial.kept else f"dropped{': ' if trial.why else ''}{trial.why}"
    return f"{text:{width}}  {often:>9}  {rate:>13}  {word}"


def rules(search: Search) -> str:
    """Return what "kept" means, with the probabilities of error."""
    rates = search.rates
    return (
        f"kept: a sequential test shows at least {search.share:g} times the recorded failure rate (taken as measured). Each "
        f"test keeps a rate of {100 * rates.low:.1f} % or less in at most {100 * ALPHA:g} % of cases, and drops one of "
        f"{100 * rates.high:.1f} % or more in at most {100 * BETA:g} %."
    )


def smallest(search: Search, repetition: Repetition) -> str:
    """Return the smallest configuration in words."""
    last = search.kept[-1]
    return f"smallest that still fails: {described(repetition.what, last.case, repetition.device.name)}"


def others(search: Search) -> str:
    """Return other failures that came up; they count for nothing here, and may be worth a look."""
    if not search.others:
        return ""
    listed = ", ".join(f"{shown(kind, 60)} {count}" for kind, count in sorted(search.others.items()))
    return f"other outcomes on the way, not counted as this failure: {listed}"


def script_sentence(measured: ScriptRate, parent: Trial, wanted: str) -> str:
    """Return how often the script failed by itself, beside the recorded configuration."""
    if measured.error:
        return (
            f"the script does not run by itself: each of {measured.n} runs ended with {shown(measured.error)}"
        )
    sentence = rate_sentence(measured.failures, measured.n, "the script, by itself, fails")
    ends = {kind: count for kind, count in measured.kinds.items() if kind not in (wanted, Verdict.PASS)}
    listed = (
        f"; other outcomes: {', '.join(f'{kind} {count}' for kind, count in ends.items())}" if ends else ""
    )
    return f"{sentence}; recorded configuration: {parent.failures} of {parent.n}{listed}"


def heading(
    case: Configuration, repetition: Repetition, measured: ScriptRate | None, parent: Trial
) -> list[str]:
    """Return lines for the script's docstring: what it is, on what it was seen, and how often."""
    recorded = repetition.recorded
    where = (
        "the simulated device of mps-stress, which is not Metal" if recorded.simulated else recorded.device
    )
    lines = [f"Made smaller by mps-stress from attempt {recorded.name} ({recorded.item}), which ended as:"]
    if recorded.end is not None:
        lines.append(f"    {shown(recorded.end['headline'], 160)}")
    lines.append(f"Seen on {where}, {repetition.device.torch_text}.")
    if measured is not None and measured.n:
        lines.append(f"{rate_sentence(measured.failures, measured.n, 'By itself this file fails')}.")
    return lines
