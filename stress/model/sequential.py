"""Is a failure rate still a set share of another one? A sequential test, with its error probabilities.

Two commands ask: `minimise` of a smaller configuration, `bisect` of another build. What is asked about is the candidate, and
what its rate is compared with is the parent's.

Wald's sequential probability ratio test between two rates, low = share * parent and high, which lies between
low and the parent's. Its boundaries are 1/alpha and beta instead of Wald's (1 - beta)/alpha and beta/(1 - alpha): the
likelihood ratio is a nonnegative martingale under low and a supermartingale below it, so that by Ville's inequality
it ever reaches 1/alpha with probability alpha at most, whenever one stops looking (Ville 1939; Wald 1945). The
same holds for the inverse ratio at rates of high and above. A test that is cut off decides nothing, and what is not
decided is not kept: that only ever costs size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ALPHA = 0.05
"""Probability, at most, of keeping a candidate whose rate is `share` of the parent's or less."""
BETA = 0.10
"""Probability, at most, of dropping one whose rate is `high` or more."""
SHARE_DEFAULT = 0.5
_TOWARDS_PARENT = 0.6
"""Where `high` lies between `low` and the parent's rate. At the parent's own, a clean attempt or two end a good
candidate; nearer to `low`, every decision takes long."""
_RATE_MAX = 0.98


@dataclass(frozen=True)
class Rates:
    """The two rates between which the test decides."""

    low: float
    high: float

    @classmethod
    def below(cls, parent: float, share: float = SHARE_DEFAULT) -> Rates:
        """Return them for a parent's rate, 0 < parent <= 1, and the share to be shown, 0 < share < 1."""
        if not (0 < parent <= 1 and 0 < share < 1):
            raise ValueError(f"rate {parent} and share {share}: expected above 0, and a share below 1")
        parent = min(parent, _RATE_MAX)
        low = share * parent
        return cls(low, low + _TOWARDS_PARENT * (parent - low))

    def log_ratio(self, failures: int, n: int) -> float:
        """Return log P(data | high) - log P(data | low) for `failures` of `n` attempts."""
        passes = n - failures
        return failures * math.log(self.high / self.low) + passes * math.log((1 - self.high) / (1 - self.low))


@dataclass
class SequentialTest:
    """Counts attempts until it can decide."""

    rates: Rates
    alpha: float = ALPHA
    beta: float = BETA
    failures: int = 0
    n: int = 0

    def add(self, failed: bool) -> None:
        """Count one attempt."""
        self.failures += failed
        self.n += 1

    @property
    def decision(self) -> bool | None:
        """Return True to keep, False to drop, None to go on. The first decision stands: stop there."""
        ratio = self.rates.log_ratio(self.failures, self.n)
        if ratio >= -math.log(self.alpha):
            return True
        if ratio <= math.log(self.beta):
            return False
        return None


def estimate(failures: int, n: int) -> float:
    """Return a rate that is neither 0 nor 1: half a failure more, and half a pass (Jeffreys' prior)."""
    return (failures + 0.5) / (n + 1)
