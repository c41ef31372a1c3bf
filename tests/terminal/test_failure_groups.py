"""How failures of one kind are put together, and that pytest's own list is as it was afterwards."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stress.model.blackbox import Stamp
from stress.model.verdict import Verdict
from stress.plugin.terminal import block
from stress.plugin.terminal.failure_groups import LISTED_MAX
from stress.plugin.terminal.failure_groups import UNNAMED_SHOWN
from stress.plugin.terminal.failure_groups import FailureGroups
from stress.plugin.terminal.failure_groups import others
from stress.plugin.terminal.item_row import ItemRow


def row(number: int, kind: str, signature: str | None) -> ItemRow:
    return ItemRow(
        item=f"scenarios/file_{number // 3}.py::AScenarioWithALongName{number}[float32-t8]",
        word="CRASH SIGABRT", verdict=Verdict.CRASH, counted=5, failures=2, headline="", simulated=False,
        signature=signature, kind=kind, alike=2,
    )  # fmt: skip


def report(one: ItemRow) -> Any:
    name = one.item.partition("::")[2]
    return SimpleNamespace(
        mps=one.to_data(), when="call", longrepr=f"block of {name}", location=("a.py", 1, name)
    )


def folded(reports: list[Any], **options: Any) -> tuple[list[str], list[Any]]:
    """Return (headings and blocks as pytest would print them, the list of failed reports afterwards)."""
    option = SimpleNamespace(tbstyle=options.get("tbstyle", "auto"))
    config = SimpleNamespace(option=option, get_verbosity=lambda: options.get("verbosity", 0))
    terminal: Any = SimpleNamespace(
        config=config, stats={"failed": reports}, _tw=SimpleNamespace(fullwidth=80)
    )
    hook = FailureGroups().pytest_terminal_summary(terminal)
    next(hook)
    printed = [f"{one.location[2]}\n{one.longrepr}" for one in terminal.stats["failed"]]
    with pytest.raises(StopIteration):
        hook.send(None)
    return printed, terminal.stats["failed"]


class TestFailuresWithASignature:
    REPORTS = 14

    def test_are_one_block_with_a_list(self) -> None:
        reports = [report(row(number, "metal/x", "metal/x")) for number in range(self.REPORTS)]
        before = [(one.location, one.longrepr) for one in reports]
        (printed,), after = folded(reports)
        assert printed.startswith(
            "metal/x: 14 items, 28 attempts\nblock of AScenarioWithALongName0[float32-t8]\n"
        )
        assert "the same in 13 more items" in printed
        for number in range(1, LISTED_MAX + 1):
            assert f"AScenarioWithALongName{number}[float32-t8] 2/5" in printed, "and never broken between"
        assert after is reports
        assert [(one.location, one.longrepr) for one in reports] == before

    @pytest.mark.parametrize("options", [{"verbosity": 1}, {"tbstyle": "no"}, {"tbstyle": "line"}])
    def test_are_all_shown_where_that_was_asked_for(self, options: dict[str, Any]) -> None:
        reports = [report(row(number, "metal/x", "metal/x")) for number in range(3)]
        printed, _ = folded(reports, **options)
        assert [text.partition("\n")[2] for text in printed] == [one.longrepr for one in reports]

    def test_of_other_tests_are_left_alone(self) -> None:
        others_test = SimpleNamespace(when="call", longrepr="a traceback", location=("b.py", 1, "test_other"))
        printed, _ = folded([others_test, report(row(0, "metal/x", "metal/x"))])
        assert printed[0] == "test_other\na traceback"
        assert len(printed) == 2


class TestFailuresWithoutASignature:
    def test_have_several_blocks(self) -> None:
        """Wrong numbers in two items may be two faults."""
        reports = [report(row(number, "MISMATCH numeric", None)) for number in range(UNNAMED_SHOWN + 2)]
        printed, _ = folded(reports)
        assert len(printed) == UNNAMED_SHOWN
        assert "MISMATCH numeric: the same in 2 more items" in printed[-1]
        assert printed[-1].startswith(f"AScenarioWithALongName{UNNAMED_SHOWN - 1}[float32-t8]\n")

    def test_are_not_folded_where_few(self) -> None:
        printed, _ = folded(
            [report(row(number, "MISMATCH numeric", None)) for number in range(UNNAMED_SHOWN)]
        )
        assert len(printed) == UNNAMED_SHOWN
        assert not any("the same" in text for text in printed)


def test_a_fault_in_40_items_stays_on_a_page() -> None:
    rows = [row(number, "metal/x", "metal/x") for number in range(40)]
    text = others("metal/x", rows[1:], 120)
    assert len(text.splitlines()) <= 10
    assert text.count("[float32-t8]") == LISTED_MAX
    assert text.endswith(f"{39 - LISTED_MAX} more in the table below")


def test_threads_that_did_the_same_share_a_line() -> None:
    def stamp(worker: int | None, status: str, iteration: int = 0, op: str = "") -> Stamp:
        return Stamp(worker, status, 0, iteration, "step", op)

    stamps = [
        stamp(None, "running"), stamp(0, "finished"), stamp(1, "running", 3), stamp(2, "finished"),
        stamp(3, "running", 4), stamp(4, "running", 3, "aten.mm"), stamp(5, "unused"),
    ]  # fmt: skip
    assert block._stamps(stamps) == [
        "main thread: running, iteration 0, step, op unknown",
        "threads 0, 2: finished",
        "threads 1, 3: running, iteration 3, 4, step, op unknown",
        "thread 4: running, iteration 3, step, op aten.mm",
    ]
