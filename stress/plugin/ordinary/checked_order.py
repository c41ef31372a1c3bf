"""The order check of one ordinary test: its threads come from a pool, so that each call enters the check by itself."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING
from typing import Self

from stress.plugin.ordinary.job import Body
from stress.scenario import current

if TYPE_CHECKING:
    from stress.order.session import OrderSession


class CheckedTest:
    """Checks the calls of one test while it is entered. `unordered` has the reports of what nothing ordered."""

    def __init__(self, level: str, known: Collection[str]) -> None:
        from stress.order.session import (
            OrderSession,  # imports torch, which most sessions of pytest do not need
        )

        self._known = known
        self._session: OrderSession = OrderSession(level)
        self.unordered: list[str] = []

    def bodies(self, bodies: Sequence[Body]) -> list[Body]:
        """Return the bodies with the check around each call."""
        return [self._checked(one) for one in bodies]

    def _checked(self, body: Body) -> Body:
        session = self._session

        def call() -> object:
            iteration = current.current().iteration
            with session.thread():
                # The threads meet before each call: what they did in earlier ones comes before all of it.
                session.host_edge("acquire", ("calls", iteration - 1))
                try:
                    return body()
                finally:
                    session.host_edge("release", ("calls", iteration))

        return call

    def __enter__(self) -> Self:
        self._session.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._session.stop()
        from stress.order import suppressions  # as late as the session

        found = self._session.check.findings
        self.unordered = [
            one.text for one in found if suppressions.matching(one.signature, self._known) is None
        ]


class NotChecked:
    """A test without it."""

    unordered: Sequence[str] = ()

    def bodies(self, bodies: Sequence[Body]) -> list[Body]:
        return list(bodies)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def checked_test(level: str, known: Collection[str]) -> CheckedTest | NotChecked:
    """Return the check of a test: an empty level is none."""
    return CheckedTest(level, known) if level else NotChecked()
