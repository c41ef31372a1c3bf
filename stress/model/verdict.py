"""The verdicts of an attempt, their severity, and how each is shown: one row for each, here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING
from typing import Literal

PageClass = Literal["pass", "interesting", "bad", "unsure"]
"""Class of colour on the page (`stress.page.style`)."""
Counts = Literal["green", "failure", "no"]
"""How an attempt enters a rate: as one that passed, as one that failed, or not at all."""


class Verdict(StrEnum):
    """The parent's judgement of one attempt, in order of severity.

    A failure is a finding about the device. It wins over verdicts that say nothing about the device: those
    are reported, but never counted and never green.

    A row is: value, word for a person, how it counts, pytest's progress letter, colour on the terminal, class on
    the page, and its meaning in one sentence.
    """

    PASS = "pass", "PASSED", "green", ".", "green", "pass", "every value is right, every thread is done"
    INTERESTING = (
        "interesting", "INTERESTING", "green", "i", "cyan", "interesting",
        "right, but not bitwise what one thread gets",
    )  # fmt: skip
    OOM = "oom", "OOM", "no", "O", "yellow", "unsure", "out of memory where one thread alone is not"
    INCONCLUSIVE = "inconclusive", "INCONCLUSIVE", "no", "?", "yellow", "unsure", "it could not be decided"
    ERROR = "error", "ERROR", "no", "E", "red", "unsure", "one thread alone already raises or is wrong"
    BROKEN = "broken", "BROKEN", "no", "B", "red", "unsure", "the scenario or this framework is at fault"
    AGED = (
        "aged", "AGED", "no", "A", "red", "unsure",
        "it failed only in a process that had served other attempts: it needs what came before",
    )  # fmt: skip
    UNORDERED = (
        "unordered", "UNORDERED", "failure", "U", "red", "bad",
        "two accesses of the same bytes that nothing orders",
    )  # fmt: skip
    UNKEPT = (
        "unkept", "UNKEPT", "failure", "K", "red", "bad",
        "an order that the device promised and did not keep",
    )  # fmt: skip
    MISMATCH = "mismatch", "MISMATCH", "failure", "M", "red", "bad", "a wrong value"
    RACE = (
        "race", "RACE", "failure", "R", "red", "bad",
        "an exception that one thread alone does not raise, or a data race that ThreadSanitizer reported",
    )  # fmt: skip
    HANG = "hang", "HANG", "failure", "H", "red", "bad", "no end before the deadline"
    CRASH = "crash", "CRASH", "failure", "C", "red", "bad", "the process died"

    word: str
    counts: Counts
    letter: str
    color: str
    page_class: PageClass
    meaning: str

    if not TYPE_CHECKING:  # mypy takes what a member is made of for what Verdict("crash") needs

        def __new__(
            cls,
            value: str,
            word: str,
            counts: Counts,
            letter: str,
            color: str,
            page_class: PageClass,
            meaning: str,
        ) -> Verdict:
            one = str.__new__(cls, value)
            one._value_ = value
            one.word, one.counts, one.letter = word, counts, letter
            one.color, one.page_class, one.meaning = color, page_class, meaning
            return one

    @property
    def is_green(self) -> bool:
        return self.counts == "green"

    @property
    def is_failure(self) -> bool:
        """Whether the verdict is a finding about the device: what a rate counts."""
        return self.counts == "failure"

    @property
    def enters_rate(self) -> bool:
        return self.counts != "no"


WRONG_VALUE_NAMES = ("cross-talk", "stale", "unwritten", "torn", "nan", "numeric", "unequal")
"""Names of a wrong value (`stress.child.oracle.wrong_value`), the most specific first."""

CANARY_MISSED = "CANARY MISSED"
ONE_THREAD = "ONE THREAD"
"""What is green on one thread: no threads were tested."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the most severe verdict; raise ``ValueError`` for none at all (no attempt is not a pass)."""
    return max(verdicts, key=severity)


def severity(verdict: Verdict) -> int:
    """Return the place of a verdict in the order of severity; the highest is the most severe."""
    return tuple(Verdict).index(verdict)


def word_of(
    verdict: Verdict | None, *, signal: str | None = None, is_canary: bool = False, one_thread: bool = False
) -> str:
    """Return the word shown for the worst of some attempts: PASSED, MISMATCH, CRASH SIGABRT, ...

    `signal` is the name of the one that the crashes ended with. A canary's attempts must fail. None: no attempt ended.
    """
    if verdict is None:
        return "NO END"
    if is_canary and verdict.enters_rate:
        return "CANARY FOUND" if verdict.is_failure else CANARY_MISSED
    if one_thread and verdict.is_green:
        return ONE_THREAD
    return f"{verdict.word} {signal}" if verdict is Verdict.CRASH and signal else verdict.word
