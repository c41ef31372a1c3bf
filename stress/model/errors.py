"""Exceptions of the framework that carry a verdict of their own."""

from __future__ import annotations


class BrokenScenario(Exception):
    """The scenario (or the framework) is at fault; the text says what to change."""


class Inconclusive(Exception):
    """The attempt cannot tell anything; the text says why."""


class LibraryError(Exception):
    """The simulated device's library cannot be loaded into this torch."""
