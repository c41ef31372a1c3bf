"""The summary at a campaign's end: on the terminal, and as Markdown for `$GITHUB_STEP_SUMMARY`."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from stress.commands.campaign.progress import duration
from stress.commands.campaign.tally import Arm
from stress.commands.campaign.tally import CampaignTally
from stress.model import stats
from stress.model.markdown import plain
from stress.model.text import count
from stress.model.text import one_line
from stress.model.verdict import CANARY_MISSED
from stress.plugin.terminal.render import render
from stress.record.aggregate.words import excluded_after

NAMES_SHOWN = 3
NEWS_SHOWN = 20
NAME_CHARS_MAX = 120


@dataclass(frozen=True)
class Ending:
    """How a campaign ended."""

    tally: CampaignTally
    run_id: str
    replay: Callable[[int], str]
    """Serial of an attempt -> the command that runs it again."""
    folder: str
    device: str
    simulated: bool
    seconds: float
    spent_s: float
    not_run: Mapping[str, Sequence[str]]
    """Reason -> items that cannot run here."""
    stopped: str
    """Why it ended before its time; empty where it did not."""
    folded: int
    late: Sequence[str]

    @property
    def missed(self) -> int:
        """Return in how many rounds a canary was not found."""
        found, rounds = self.tally.canary_rounds
        return rounds - found

    @property
    def counted(self) -> int:
        return sum(one.counted for one in self.tally.arms.values() if not one.is_canary)

    @property
    def is_bad(self) -> bool:
        """Whether somebody has to look: something new, or a green that is worth nothing."""
        never = any(one.turns and not one.rounds_found for one in self.tally.canaries)
        return bool(self.tally.news or self.missed or never or not self.counted)


def text(ending: Ending, width: int, *, color: bool) -> str:
    """Return the lines for a terminal."""
    parts = [_title(ending), ""]
    if ending.tally.failing:
        parts += [render(_table(ending.tally.failing), width, color=color), ""]
    return "\n".join([*parts, *_sentences(ending)])


def markdown(ending: Ending) -> str:
    """Return the same as Markdown."""
    lines = [f"### {plain(_title(ending))}", ""]
    if ending.tally.failing:
        lines += ["| item | failed | of | rate, 95 % | named |", "| --- | ---: | ---: | --- | --- |"]
        lines += [f"| {' | '.join(map(plain, _row(one)))} |" for one in _worst_first(ending.tally.failing)]
        lines.append("")
    return "\n".join([*lines, *(f"- {plain(one)}" for one in _sentences(ending)), ""])


def _title(ending: Ending) -> str:
    simulated = " (simulated, not Metal)" if ending.simulated else ""
    how = f", ended early: {ending.stopped}" if ending.stopped else ""
    return (
        f"campaign {ending.run_id} on {ending.device}{simulated}: {duration(ending.spent_s)} of "
        f"{duration(ending.seconds)}{how}"
    )


def _worst_first(arms: Sequence[Arm]) -> list[Arm]:
    return sorted(arms, key=lambda one: (-one.failures / max(one.counted, 1), one.item))


def _row(arm: Arm) -> list[str]:
    low, high = stats.rate_interval(arm.failures, arm.counted)
    names = [f"{one_line(name, NAME_CHARS_MAX)} ({n})" for name, n in arm.names.most_common(NAMES_SHOWN)]
    more = len(arm.names) - NAMES_SHOWN
    return [
        one_line(arm.item),
        str(arm.failures),
        str(arm.counted),
        f"{stats.percent(low)}-{stats.percent(high)} %",
        "; ".join([*names, *([f"and {more} more"] if more > 0 else [])]),
    ]


def _table(arms: Sequence[Arm]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("item", overflow="fold", min_width=30)
    for name in ("failed", "of"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("rate, 95 %", no_wrap=True)
    table.add_column("named")
    for one in _worst_first(arms):
        table.add_row(*map(Text, _row(one)))
    return table


def _sentences(ending: Ending) -> Iterator[str]:
    tally = ending.tally
    rest = [one for one in tally.arms.values() if not one.is_canary and not one.failures and one.counted]
    if rest:
        others = "other " if tally.failing else ""
        yield f"{count(len(rest), f'{others}item')} without a failure: {excluded_after(one.counted for one in rest)}"
    for one in _worst_first(tally.failing):
        if clusters := one.outcomes.sentence():
            yield f"{one_line(one.item)}: {clusters}"
    yield _canary_sentence(ending)
    for news in list(tally.news.values())[:NEWS_SHOWN]:
        yield (
            f"NEW: {one_line(news.name, NAME_CHARS_MAX)} in {one_line(news.item)}; next: "
            f"{ending.replay(news.serial)}"
        )
    if len(tally.news) > NEWS_SHOWN:
        yield f"NEW: {len(tally.news) - NEWS_SHOWN} more: mps-stress report {ending.folder} -o page.html"
    if tally.known_failures:
        yield f"{count(tally.known_failures, 'failure')} already known (results/known, --baseline)"
    if tally.foreign_kills:
        yield f"not counted: {count(tally.foreign_kills, 'attempt')} killed by a signal that the framework did not send"
    if tally.unfinished:
        serials = ", ".join(f"{ending.run_id}/{one}" for one in tally.unfinished[:4])
        yield (
            f"not counted: {count(len(tally.unfinished), 'attempt')} without an end, running when the campaign or the "
            f"machine went down ({serials})"
        )
    aside = [one for one in tally.arms.values() if one.is_set_aside]
    for one in aside[:5]:
        yield f"set aside, no attempt of it counts: {one_line(one.item)}: {one_line(one.headline)}"
    for reason, items in ending.not_run.items():
        yield f"not run: {count(len(items), 'item')}: {one_line(reason)}"
    yield from (f"late crash report: {one_line(one)}" for one in ending.late[:5])
    if ending.folded:
        yield f"disk limit: {count(ending.folded, 'file')} without a finding folded into totals"
    if ending.simulated:
        yield "simulated device: this proves the detector, and says nothing about Metal or a real MPS backend"
    yield f"records: {ending.folder}"


def _canary_sentence(ending: Ending) -> str:
    found, rounds = ending.tally.canary_rounds
    cut = ending.tally.canary_rounds_cut
    more = f"; {count(cut, 'round')} cut short by what does not count" if cut else ""
    if not rounds:
        return (
            f"no canary ran{more}: nothing shows that a fault would have been found; add scenarios/canary.py"
        )
    if found == rounds:
        return f"canaries: found in {'the only round' if rounds == 1 else f'all {rounds} rounds'}{more}"
    return (
        f"{CANARY_MISSED} in {rounds - found} of {rounds} rounds{more}: the green results are worth nothing"
    )
