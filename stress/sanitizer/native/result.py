"""A case over all its runs, and the sentence that reports it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from dataclasses import field
from typing import TYPE_CHECKING

from stress.model.text import count
from stress.model.verdict import Verdict
from stress.model.verdict import worst
from stress.sanitizer.native.controls import Controls
from stress.sanitizer.native.judge import JudgedRun

if TYPE_CHECKING:
    from stress.sanitizer.native.harness import Harness


@dataclass
class CaseResult:
    """All runs of a case at one number of threads and iterations."""

    item: str
    """Name of the item in the records."""
    case: str
    threads: int
    iterations: int
    fault: str | None
    harness: Harness
    controls: Controls
    seed: int = 0
    """The root seed."""
    runs: list[JudgedRun] = field(default_factory=list)
    verdict: Verdict = Verdict.INCONCLUSIVE
    headline: str = ""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def decide(self) -> None:
        """Set verdict and headline: a finding stands, but silence needs controls that were found.

        Where the guarded twin is not silent, reports may be false, and a finding proves nothing either.
        """
        self.verdict = worst(one.verdict for one in self.runs)
        first = next(one for one in self.runs if one.verdict == self.verdict)
        self.headline = first.headline
        reasons = self.amiss
        if reasons and (self.verdict.is_green or self.controls.false_alarm):
            self.verdict = Verdict.INCONCLUSIVE
            self.headline = "; ".join([*reasons, *([self.headline] if self.headline else [])])
        elif reasons:
            self.notes += [f"other results of this program would be inconclusive: {one}" for one in reasons]

    @property
    def unavailable(self) -> str:
        """Return what this build's backend lacks for the case, which is then skipped; empty where it could run."""
        return self.runs[-1].unavailable if self.runs and not any(one.findings for one in self.runs) else ""

    @property
    def amiss(self) -> list[str]:
        """Return why silence proves nothing, whatever the runs of the case themselves say."""
        return [*self.harness.audit.reasons, *self.controls.reasons]

    @property
    def counted(self) -> int:
        """Number of runs whose verdict enters a rate; none where the controls failed."""
        if self.verdict == Verdict.INCONCLUSIVE and self.amiss:
            return 0
        return sum(one.verdict.enters_rate for one in self.runs)

    @property
    def failures(self) -> int:
        return sum(one.verdict.is_failure for one in self.runs) if self.counted else 0

    @property
    def races(self) -> int:
        return sum(one.races for one in self.runs)

    @property
    def suppressed(self) -> Counter[str]:
        """Return how often each suppression matched."""
        found: Counter[str] = Counter()
        for one in self.runs:
            found.update(one.ran.parsed.suppressions)
        return found

    @property
    def word(self) -> str:
        if self.verdict == Verdict.PASS:
            return self.verdict.word
        return next((one.word for one in self.runs if one.verdict == self.verdict), self.verdict.word)

    @property
    def sentence(self) -> str:
        """Return one line that claims only what was seen."""
        audit = self.harness.audit
        parts = [
            f"{self.name}: {self._found}",
            self.controls.canary_text,
            audit.units_text,
            audit.libtorch_text,
            self._suppressed_text,
        ]
        if self.harness.simulated:
            parts.append("simulated" if self.harness.core is None else "core on simulated Metal")
        return "; ".join(parts)

    @property
    def name(self) -> str:
        fault = f" with {self.fault}" if self.fault else ""
        return f"{self.case}{fault} {self.threads} x {self.iterations}"

    @property
    def _found(self) -> str:
        runs = count(len(self.runs), "run")
        if self.unavailable:
            return f"skipped: not available here: {self.unavailable}"
        silent = f"{count(self.races, 'race')} in {runs}"
        if self.verdict.is_green:
            return silent
        often = ""
        if self.failures:
            often = f" in {self.failures} of {self.counted} runs"
        if self.verdict == Verdict.INCONCLUSIVE:
            return f"inconclusive: {self.headline} ({silent})"
        return f"{self.word}{often}, {silent}: {self.headline}"

    @property
    def _suppressed_text(self) -> str:
        found = self.suppressed
        named = (
            f" ({', '.join(f'{name} {count} times' for name, count in sorted(found.items()))})"
            if found
            else ""
        )
        return f"{count(len(found), 'suppression')} matched{named}"
