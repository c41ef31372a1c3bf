"""A test for an upward trend in measurements that assumes nothing about their distribution, and the slope.

Mann (1945) and Kendall: the number of pairs that go up less those that go down, compared with that of shuffled
values. Theil and Sen: the median of the slopes of all pairs. A warning that somebody has to look at is not a check,
and a threshold alone calls one outlier a leak.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from statistics import median

SIGNIFICANCE_DEFAULT = 1e-4


def growth_p_value(values: Sequence[float]) -> float:
    """Return the one-sided p-value of "this series has no upward trend" (Mann-Kendall, ties corrected)."""
    n = len(values)
    score = sum((later > earlier) - (later < earlier) for earlier, later in itertools.combinations(values, 2))
    ties = sum(count * (count - 1) * (2 * count + 5) for count in Counter(values).values())
    variance = (n * (n - 1) * (2 * n + 5) - ties) / 18
    if score <= 0 or variance <= 0:
        return 1.0
    return 1.0 - NormalDist().cdf((score - 1) / math.sqrt(variance))


def slope(values: Sequence[float]) -> float:
    """Return the median growth from one value to the next (Theil-Sen); 0 for fewer than two values."""
    pairs = itertools.combinations(enumerate(values), 2)
    slopes = [(later - earlier) / (j - i) for (i, earlier), (j, later) in pairs]
    return median(slopes) if slopes else 0.0


def grows(values: Sequence[float], *, slope_min: float, significance: float = SIGNIFICANCE_DEFAULT) -> bool:
    """Whether the series grows: significantly, and by at least `slope_min` from one value to the next."""
    return growth_p_value(values) < significance and slope(values) >= slope_min
