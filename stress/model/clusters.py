"""Whether attempts fail in clusters, over time or over the age of their process: intervals are too narrow then.

Every interval takes attempts for independent. A machine that gets hot, a neighbour that takes the GPU for a minute, inputs
that one seed has, or a process whose first attempt meets cold caches make them fail together. Both tests are exact given
how many failed, and take a few counts, so that a campaign of a million attempts keeps seven numbers per item.
"""

from __future__ import annotations

from dataclasses import dataclass

from stress.model import stats

ALPHA = 0.01
"""Level of each of the two tests: how often independent attempts are called clustered."""


@dataclass
class ClusterCounts:
    """Counts of an item's attempts in the order in which they ended."""

    attempts: int = 0
    failures: int = 0
    blocks: int = 0
    """Of failures without a pass between them."""
    first_attempts: int = 0
    """Those that a fresh process ran."""
    first_failures: int = 0
    _failed_last: bool = False

    def add(self, *, failed: bool, age: int) -> None:
        """Take in an attempt; `age` is how many its process had served before."""
        self.attempts += 1
        self.failures += failed
        self.blocks += failed and not self._failed_last
        self._failed_last = failed
        if not age:
            self.first_attempts += 1
            self.first_failures += failed

    @property
    def p_time(self) -> float:
        """Return how likely independent attempts are to have their failures in so few blocks (Wald-Wolfowitz)."""
        if not self.failures:
            return 1.0
        return stats.hypergeometric_tail(
            self.failures - self.blocks, self.failures, self.failures - 1, self.attempts
        )

    @property
    def p_process(self) -> float:
        """Return how likely first and later attempts of processes are to differ this much (Fisher, two-sided)."""
        first, failed = self.first_attempts, self.first_failures
        later, failed_later = self.attempts - first, self.failures - failed
        more = stats.fisher_one_sided(failed, first, failed_later, later)
        less = stats.fisher_one_sided(failed_later, later, failed, first)
        return min(1.0, 2 * min(more, less))

    def sentence(self) -> str:
        """Return how the failures are clustered, at level `ALPHA`; empty where nothing shows that they are."""
        told = []
        if self.p_time < ALPHA:
            blocks = "one block" if self.blocks == 1 else f"{self.blocks} blocks"
            told.append(
                f"{self.failures} failures of {self.attempts} attempts came in {blocks} (p {self.p_time:.1g})"
            )
        if self.p_process < ALPHA:
            later = self.attempts - self.first_attempts
            told.append(
                f"{self.first_failures} of {self.first_attempts} first attempts of a process failed, and "
                f"{self.failures - self.first_failures} of {later} later ones (p {self.p_process:.1g})"
            )
        return f"clustered: {'; '.join(told)}: the interval is too narrow" if told else ""
