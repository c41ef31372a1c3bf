"""What a check has found so far, and how much it has seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from stress.order.model import OrderModel
from stress.order.pair import UnorderedPair


class OrderCheck:
    """What a check has found so far. It is true where there is a finding, and `print` shows all of them."""

    def __init__(self, level: str) -> None:
        self.model = OrderModel(level)
        self.problems: list[str] = []
        """Why something may have been missed, beside what is counted in `not_seen`."""
        self.unseen: Counter[str] = Counter()
        """What was not checked, beside forgotten ranges: in words -> how often."""

    @property
    def findings(self) -> list[UnorderedPair]:
        return self.model.found()

    @property
    def accesses(self) -> int:
        """Return how many accesses of tensors were checked."""
        return self.model.accesses

    @property
    def unordered(self) -> int:
        """Return how many different pairs are unordered."""
        return self.model.unordered

    @property
    def not_seen(self) -> dict[str, int]:
        """Return what was not checked: in words -> how often."""
        return {
            **self.unseen,
            **({"ranges forgotten": self.model.forgotten} if self.model.forgotten else {}),
            **(
                {"freed blocks forgotten": self.model.blocks_forgotten} if self.model.blocks_forgotten else {}
            ),
        }

    def __len__(self) -> int:
        return self.unordered

    def __iter__(self) -> Iterator[UnorderedPair]:
        return iter(self.findings)

    def __str__(self) -> str:
        lines = [f"UNORDERED  {one.text}" for one in self.findings]
        return "\n".join([*lines, self.summary])

    @property
    def summary(self) -> str:
        """Return in a line how much was checked, how many pairs are unordered, and what was not seen."""
        unseen = ", ".join(f"{count} {what}" for what, count in self.not_seen.items())
        text = f"{self.accesses:,} accesses, {self.unordered} unordered" + (
            f"; not seen: {unseen}" if unseen else ""
        )
        return "; ".join([text, *dict.fromkeys(self.problems)])
