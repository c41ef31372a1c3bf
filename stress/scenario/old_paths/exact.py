"""The old path of `stress.scenario.exact`, kept for one release."""

import sys
import warnings

from stress.scenario import exact

warnings.warn(
    "stress.exact is stress.scenario.exact now: write `from stress import exact`",
    DeprecationWarning,
    stacklevel=2,
)
sys.modules[__name__] = exact
