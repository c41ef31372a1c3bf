"""Exceptions of the framework: those that carry a verdict, and those that are one sentence for the user."""

from __future__ import annotations

import re


class UserError(Exception):
    """Bad input, or a machine that lacks something: one sentence with the way out, and no traceback."""

    def told(self, prefix: str) -> str:
        """Return the sentence; names of options begin with `prefix`, "--mps-" in pytest and "--" in a command."""
        return str(self)


class OptionError(UserError):
    """What an option asked for cannot be had, or an option is the way out. Knows options without their prefix."""

    def __init__(self, reason: str, *, option: str = "", way_out: str = "") -> None:
        """`option` is the one to blame, such as "device=sim"; in `way_out`, "{device}" stands for an option."""
        super().__init__(reason)
        self.reason, self.option, self.way_out = reason, option, way_out

    def __str__(self) -> str:
        return self.told("--")

    def told(self, prefix: str) -> str:
        blamed = f"{prefix}{self.option}: " if self.option else ""
        return blamed + self.reason + re.sub(r"\{([a-z-]+)\}", rf"{prefix}\1", self.way_out)


class BrokenScenario(Exception):
    """The scenario (or the framework) is at fault; the text says what to change."""


class Inconclusive(Exception):
    """The attempt is inconclusive; the text says why."""


class LibraryError(Exception):
    """The simulated device's library cannot be loaded into this torch."""


class BuildError(Exception):
    """A device or a program cannot be built or loaded; the text says why and names a way out."""


def says_out_of_memory(message: str) -> bool:
    """Whether an exception's message says that memory was refused.

    CUDA's libraries have a status for it, which torch raises as a plain RuntimeError: CUBLAS_STATUS_ALLOC_FAILED,
    CUSOLVER_STATUS_ALLOC_FAILED, CUDNN_STATUS_ALLOC_FAILED, CUFFT_ALLOC_FAILED.
    """
    return "out of memory" in message or "ALLOC_FAILED" in message
