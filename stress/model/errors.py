"""Exceptions of the framework, each of which stands for a verdict."""

from __future__ import annotations


class BrokenScenario(Exception):
    """The scenario (or the framework) is at fault; the text says what to change."""


class Inconclusive(Exception):
    """The attempt is inconclusive; the text says why."""


class SkipScenario(Exception):
    """The scenario does not apply here; the text says why."""


class LibraryError(Exception):
    """The simulated device's library cannot be loaded into this torch."""
