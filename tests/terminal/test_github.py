"""What GitHub Actions is given: one error per kind of failure at the scenario's line, and the step's summary."""

from __future__ import annotations

from pathlib import Path

import pytest

from stress.model.verdict import Verdict
from stress.plugin.terminal.github import ANNOTATIONS_MAX
from stress.plugin.terminal.github import PlacedRow
from stress.plugin.terminal.github import append_summary
from stress.plugin.terminal.github import error_lines
from stress.plugin.terminal.github import summary
from stress.plugin.terminal.item_row import ItemRow
from tests.acceptance import Ran
from tests.acceptance import run_in

ENV = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "/work"}
SOURCE = """
class Fine(Scenario):
    iterations = 2
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
    def step(self, state, x):
        return x * 2

class Aborts(Fine):
    def step(self, state, x):
        if threading.current_thread() is not threading.main_thread():
            os.abort()
        return x * 2
"""


def placed(number: int, kind: str = "metal/x", file: str = "/work/scenarios/a, b.py") -> PlacedRow:
    row = ItemRow(
        item=f"scenarios/a, b.py::A{number}[t8]", word="CRASH SIGABRT", verdict=Verdict.CRASH, counted=5, failures=2,
        headline="100 % wrong\nindeed", simulated=False, signature=kind, kind=kind, alike=2,
    )  # fmt: skip
    return PlacedRow(row, Path(file), 7)


class TestErrors:
    def test_are_one_per_kind_with_the_commands_escapes(self) -> None:
        (line,) = error_lines([placed(0), placed(1), placed(2)], ENV)
        assert line == (
            "::error file=scenarios/a%2C b.py,line=7,title=CRASH SIGABRT%3A metal/x::scenarios/a, b.py::A0[t8]: "
            "2 of 5 attempts failed: 100 %25 wrong%0Aindeed; the same in 2 more items"
        )

    def test_of_a_file_outside_the_repository_name_no_place(self) -> None:
        (line,) = error_lines([placed(0, file="/site-packages/scenarios/a.py")], ENV)
        assert line.startswith("::error title=CRASH SIGABRT%3A metal/x::scenarios/a")

    def test_are_no_more_than_github_shows(self) -> None:
        lines = error_lines([placed(number, f"kind{number}") for number in range(ANNOTATIONS_MAX + 5)], ENV)
        assert len(lines) == ANNOTATIONS_MAX

    @pytest.mark.parametrize("env", [{}, {"GITHUB_ACTIONS": "false"}])
    def test_are_for_github_alone(self, env: dict[str, str]) -> None:
        assert error_lines([placed(0)], env) == []


class TestSummary:
    def test_has_what_failed_and_nothing_that_markdown_would_read(self) -> None:
        text = summary("mps-stress on sim", [placed(0).row], ["1 of 1 item failed | <b>"])
        assert "| `scenarios/a, b.py::A0[t8]` | CRASH SIGABRT | 2/5 | 2.5-91.1 % | not run |" in text
        assert "- 1 of 1 item failed \\| &lt;b&gt;" in text

    def test_that_cannot_be_written_is_said(self, tmp_path: Path) -> None:
        assert append_summary("x", {}) == ""
        problem = append_summary("x", {"GITHUB_STEP_SUMMARY": str(tmp_path)})
        assert problem == f"GITHUB_STEP_SUMMARY={tmp_path}: cannot write the summary: Is a directory"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("github")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_ACTIONS", "true")
        patch.setenv("GITHUB_WORKSPACE", str(folder))
        patch.setenv("GITHUB_STEP_SUMMARY", str(folder / "summary.md"))
        return run_in(folder, SOURCE, "--mps-attempts=1", "--mps-threads=2")


class TestARun:
    def test_has_an_error_at_the_class(self, ran: Ran, tmp_path_factory: pytest.TempPathFactory) -> None:
        (line,) = [line for line in ran.text.splitlines() if line.startswith("::error ")]
        folder = ran.folder.parents[2] if ran.folder else Path()
        source = (folder / "scenarios" / "subject.py").read_text().splitlines()
        number = source.index("class Aborts(Fine):") + 1
        assert line.startswith(f"::error file=scenarios/subject.py,line={number},title=CRASH SIGABRT")

    def test_has_a_summary_with_the_closing_sentences(self, ran: Ran) -> None:
        assert ran.folder is not None
        text = (ran.folder.parents[2] / "summary.md").read_text()
        assert "### mps-stress on cpu" in text
        assert "| `scenarios/subject.py::Aborts[t2]` | CRASH SIGABRT | 1/1 |" in text
        assert "Fine[t2]" not in text
        assert "- 1 of 2 items failed" in text
