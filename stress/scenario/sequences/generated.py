"""A scenario whose threads run code that is generated: how to show it, export it and make it shorter."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import ClassVar

from stress.scenario.scenario import Scenario


class GeneratedScenario(Scenario):
    """A scenario whose file alone does not show what its threads run."""

    reducible: ClassVar[Sequence[str]] = ()
    """Attributes that hold a list of JSON values, such as the operators of a sequence, of which `mps-stress minimise`
    may leave out elements: it sets the shorter list as an attribute of the instance, after the parameters."""

    def plain_members(self) -> Mapping[str, str]:
        """Return method -> source: what stands in exported code in place of methods that make their code while they run.

        The source under "" goes above the class; it imports what it needs.
        """
        return {}

    def as_code(self) -> str:
        """Return what the threads run as plain torch code, to be shown with a failure."""
        raise NotImplementedError
