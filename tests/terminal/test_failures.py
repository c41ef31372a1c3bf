"""What a failing run prints: one block for each kind of failure, the deciding finding first, counts that add up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance import Ran
from tests.acceptance import run_in

SUBJECT = '''
def threaded():
    return threading.current_thread().name.startswith("crew")

class Mixed(Scenario):
    """Wrong values from every thread; in the first attempt an exception of the last one, too."""
    iterations = 2
    def step(self, state, x):
        me = stress.current()
        if threaded() and me.thread_index == me.thread_count - 1 and me.iteration == 1 and not os.path.exists("raised"):
            open("raised", "w").close()
            raise RuntimeError("the size of tensor a (18) must match")
        return torch.full((2,), float(threaded())) + 10 * stress.current().thread_index

class Dies(Scenario):
    params = {"case": list("abcdef")}
    iterations = 1
    def step(self, state, x):
        if threaded() and stress.current().thread_index == 0:
            os.abort()
        return torch.ones(1) * stress.current().thread_index

class Fine(Scenario):
    params = {"case": list("abcdefghijklmnopqrst")}
    iterations = 1
    def step(self, state, x):
        return torch.ones(1) * stress.current().thread_index
'''
CONFTEST = """
def pytest_mps_classify(attempt, stderr):
    return "demo/dies" if "Dies" in attempt["item"] else None
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("failures")
    (folder / "conftest.py").write_text(CONFTEST)
    return run_in(folder, SUBJECT, "--mps-attempts=2", "--mps-perturb=off", "--mps-seed=7")


def section(text: str, title: str) -> list[str]:
    """Return the lines between a heading of pytest's and the next one."""
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if re.fullmatch(rf"=+ {title} =+", line))
    rest = lines[start + 1 :]
    end = next(number for number, line in enumerate(rest) if re.fullmatch(r"=+ .* =+", line))
    return rest[:end]


class TestABlock:
    def test_counts_each_verdict(self, ran: Ran) -> None:
        assert "Mixed[t4]: RACE in 1 and MISMATCH in 1 of 2 attempts (100.0 %" in ran.text

    def test_shows_the_finding_that_decides_first(self, ran: Ran) -> None:
        lines = section(ran.text, "FAILURES")
        place = next(number for number, line in enumerate(lines) if re.match(r"  attempt \d .*: RACE$", line))
        assert "RuntimeError: the size of tensor a (18) must match" in lines[place + 1]

    def test_names_the_command_that_shows_the_rest(self, ran: Ran) -> None:
        assert re.search(r"\.\.\. and \d more findings: mps-stress show \S+/\d+\n", ran.text)

    def test_the_records_have_the_deciding_finding_first(self, ran: Ran) -> None:
        verdicts = [end["findings"][0]["verdict"] for end in ran.ends("Mixed[t4]")]
        assert verdicts == ["race", "mismatch"]


class TestFailuresOfOneKind:
    def test_are_one_block_and_a_list(self, ran: Ran) -> None:
        lines = section(ran.text, "FAILURES")
        heads = [line for line in lines if re.fullmatch(r"_+ .* _+", line)]
        assert [head.strip("_ ") for head in heads] == ["Mixed[t4]", "demo/dies: 6 items, 12 attempts"]
        assert "\n".join(lines).count("CRASH SIGABRT in 2 of 2 attempts") == 1
        listed = " ".join(" ".join(lines).split())
        assert "demo/dies: the same in 5 more items" in listed
        for case in "bcdef":
            assert f"Dies[{case}-t4] 2/2" in listed

    def test_keep_their_lines_in_the_short_summary(self, ran: Ran) -> None:
        short = ran.text.rpartition("short test summary info")[2]
        assert len(re.findall(r"^CRASH SIGABRT scenarios/subject.py::Dies", short, re.MULTILINE)) == 6
        assert re.search(r"7 failed, 20 passed", short)


class TestTheTable:
    def test_folds_green_rows_of_a_file(self, ran: Ran) -> None:
        lines = section(ran.text, "mps-stress")
        assert not any("Fine[" in line for line in lines)
        assert any(
            re.search(r"^scenarios/subject\.py +20 PASSED +each below 77\.\d %", line) for line in lines
        )
        assert sum(" Dies[" in line for line in lines) == 6

    def test_says_how_many_items_failed_and_pools_no_rates(self, ran: Ran) -> None:
        assert "7 of 27 items failed" in section(ran.text, "mps-stress")
        assert "together" not in ran.text


def test_verbose_shows_every_block_and_row(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    args = ("-v", "--mps-attempts=1", "--mps-perturb=off", "-k", "Dies or Fine")
    text = run_in(tmp_path, SUBJECT, *args).text
    assert text.count("CRASH SIGABRT in 1 of 1 attempts (100.0 %") == 6
    lines = section(text, "mps-stress")
    assert sum(" Fine[" in line for line in lines) == 20
