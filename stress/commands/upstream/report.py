"""The text on the terminal: what is new first, then what is known, in few lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence

from stress.commands.upstream.baseline import SuiteBaseline
from stress.commands.upstream.news import SuiteNews
from stress.commands.upstream.outcomes import BAD
from stress.commands.upstream.outcomes import GREEN
from stress.commands.upstream.outcomes import PASSED
from stress.commands.upstream.outcomes import SKIPPED
from stress.commands.upstream.outcomes import XFAILED
from stress.commands.upstream.outcomes import SuiteOutcome
from stress.model.text import count

NEWS_SHOWN, REASONS_SHOWN, TEXT_CHARS, NAMES_SHOWN = 60, 40, 110, 3
_UNEXPLAINED = "no reason is known"
_TOO = "fails on one thread, too: "
_NUMBERS = re.compile(r"\d[\d.e+-]*")


def lines(
    baseline: SuiteBaseline,
    now: Mapping[str, SuiteOutcome],
    news: Sequence[SuiteNews],
    mended: Sequence[str],
    *,
    is_brief: bool = False,
) -> Iterator[str]:
    """Yield what became of the tests, what is known of the failures, and what is new: as texts and names, or names alone."""
    yield from _counts(baseline, now)
    yield ""
    yield from _known(baseline, now, {one.test for one in news})
    if mended:
        yield f"passes now: {count(len(mended), 'test')} that failed alone in the baseline: {_some(mended)}"
    yield from _new(baseline, news, is_brief=is_brief)


def _counts(baseline: SuiteBaseline, now: Mapping[str, SuiteOutcome]) -> Iterator[str]:
    alone = Counter(one.alone for one in now.values())
    passed, bad = alone[PASSED] + alone[XFAILED], sum(alone[one] for one in BAD)
    told = ", ".join(f"{alone[one]} {word}" for one, word in _ALONE_WORDS if alone[one])
    yield f"one thread: {told}"
    if passed + bad:
        of_metal = sum(_is_about_metal(baseline, test) for test, one in now.items() if one.fails_alone)
        line = f"            {_share(passed, passed + bad)} of those that ran pass"
        if of_metal:
            line += f"; {_share(passed, passed + bad - of_metal)} without the {of_metal} about Metal itself"
        yield line
    from_threads = Counter(one.threads for one in now.values() if one.threads)
    if from_threads:
        green = from_threads.pop(GREEN, 0)
        rest = ", ".join(f"{number} {word.upper()}" for word, number in from_threads.most_common())
        once = alone[PASSED] - sum(from_threads.values()) - green
        yield f"{baseline.threads} threads: {green} passed{', ' if rest else ''}{rest}" + (
            f"; {once} ran alone only: what cannot run from threads, or takes too long for --deadline"
            if once
            else ""
        )


_ALONE_WORDS = (
    (PASSED, "passed"),
    (XFAILED, "failed as expected"),
    ("failed", "failed"),
    ("crash", "crashed"),
    ("hang", "hung"),
    (SKIPPED, "skipped"),
)


def _known(baseline: SuiteBaseline, now: Mapping[str, SuiteOutcome], new: set[str]) -> Iterator[str]:
    found: Counter[tuple[str, str]] = Counter()
    for test, one in now.items():
        if test not in new and (one.fails_alone or one.fails_from_threads):
            reason = baseline.reason(test, from_threads=not one.fails_alone)
            where = "alone" if one.fails_alone else f"from {baseline.threads} threads"
            found[where, reason.reason if reason is not None else _UNEXPLAINED] += 1
    for (where, text), number in found.most_common(REASONS_SHOWN):
        yield f"known: {number} {'fails' if number == 1 else 'fail'} {where}: {text}"
    if len(found) > REASONS_SHOWN:
        yield f"known: and {len(found) - REASONS_SHOWN} more reasons"


def _new(baseline: SuiteBaseline, news: Sequence[SuiteNews], *, is_brief: bool) -> Iterator[str]:
    if baseline.path is None:
        yield "no baseline for this tree and device: all that fails is new; --write-baseline makes this run the baseline"
    groups = _grouped(news)
    for group in groups[:NEWS_SHOWN]:
        first = group[0]
        more = f" and {len(group) - 1} more ({_some([one.test for one in group[1:]])})" if group[1:] else ""
        yield f"{first.kind:<18} {first.test}{more}"
        if not is_brief:
            yield f"{'':<18}   {_cut(first.text)}"
    if len(groups) > NEWS_SHOWN:
        yield f"... and {len(groups) - NEWS_SHOWN} more kinds: the records have them"
    kinds = ", ".join(f"{number} {kind}" for kind, number in Counter(one.kind for one in news).items())
    yield f"new: {kinds}" if news else "new: nothing"


def _grouped(news: Sequence[SuiteNews]) -> list[list[SuiteNews]]:
    """Return the tests that say the same together: one missing operator fails fifty."""
    groups: dict[tuple[str, str], list[SuiteNews]] = {}
    for one in news:
        groups.setdefault((one.kind, _NUMBERS.sub("N", one.text)), []).append(one)
    return list(groups.values())


def _is_about_metal(baseline: SuiteBaseline, test: str) -> bool:
    reason = baseline.reason(test)
    return reason is not None and reason.about == "metal"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "0 of 0"


def _some(tests: Sequence[str]) -> str:
    names = [one.rpartition("::")[2] for one in tests]
    return ", ".join(names[:NAMES_SHOWN]) + (" ..." if len(names) > NAMES_SHOWN else "")


def _cut(text: str) -> str:
    text = text.removeprefix("alone: ").removeprefix(_TOO)
    return text if len(text) <= TEXT_CHARS else f"{text[: TEXT_CHARS - 3]}..."
