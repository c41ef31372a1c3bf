"""The report of bisect: each build with its attempts, the answer, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

from stress.commands.bisect.builds import BisectedBuild
from stress.commands.bisect.search import GOOD_SHARE
from stress.commands.bisect.search import Bisection
from stress.commands.bisect.search import Probe
from stress.commands.replay.failure_kind import FailureKind
from stress.commands.replay.recorded import Recorded
from stress.model import stats
from stress.model.text import count


def heading(recorded: Recorded | None, wanted: FailureKind | None, builds: Sequence[BisectedBuild]) -> str:
    """Return what is looked for, and between what."""
    what = f"{recorded.name}: {recorded.item}, {wanted}" if recorded is not None else "a command that fails"
    return f"{what}\n{len(builds)} builds, from {builds[0].name} (good) to {builds[-1].name} (bad)"


def probe_line(probe: Probe) -> str:
    """Return one build, how often it failed, and what was decided."""
    if probe.cannot_run:
        word = "cannot run it"
    else:
        word = {True: "BAD", False: "good", None: "not decided" if probe.n else "not looked at"}[probe.is_bad]
    if not probe.n:
        return f"{probe.name}: {word}"
    interval = stats.interval_text(probe.failures, probe.n)
    return f"{probe.name}: {word}, {probe.failures} of {count(probe.n, 'attempt')} failed ({interval})"


def text(search: Bisection) -> str:
    """Return all builds in order, the answer, and how sure it is."""
    lines = [probe_line(one) for one in search.probes]
    first, last = search.probes[search.first_bad], search.probes[search.last_good]
    if search.is_single:
        lines.append(f"FIRST BAD: {first.name}; the one before it, {last.name}, is good")
    else:
        lines.append(f"not found: {search.problem}")
        if search.probes[0].is_bad is False:
            lines.append(f"it came in after {last.name}, with {first.name} at the latest")
    if search.probes[0].is_bad is False:
        lines.append(_sureness(search))
    return "\n".join(lines)


def _sureness(search: Bisection) -> str:
    rates = search.rates
    return (
        f"right with a probability of at least {100 * search.confidence:g} %, as long as builds before it fail in at most "
        f"{100 * rates.low:.2g} % of attempts ({GOOD_SHARE:g} of BAD's rate, taken as measured) and it and those after it in at "
        f"least {100 * rates.high:.2g} %: at most {search.decisions} tests, each wrong in at most {100 * search.error:.2g} %"
    )
