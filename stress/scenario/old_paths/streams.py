"""The old path of `stress.scenario.streams`, kept for one release."""

import sys
import warnings

from stress.scenario import streams

warnings.warn(
    "stress.streams is stress.scenario.streams now: write `from stress import streams`",
    DeprecationWarning,
    stacklevel=2,
)
sys.modules[__name__] = streams
