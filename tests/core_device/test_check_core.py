"""`make core`: what of a run is as expected, and what is said where it cannot be checked. The run itself is not made here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stress.model.errors import BuildError
from tests.core_device.trees import small_tree
from tools import check_core
from tools.check_core import Check
from tools.check_core import Expected
from tools.check_core import ListError
from tools.check_core import Seen
from tools.check_core import compared
from tools.core_items import LISTED
from tools.core_items import OTHERS

ROOT = Path(__file__).resolve().parents[2]
Scenarios = Callable[[dict[str, dict[str, Seen] | str]], tuple[str, list[str]]]
SURE = Expected("Sure[t8]", ("crash", "hang"), by_chance=False, why="a reason", issues=("https://one",))
CHANCE = Expected("Chance[t8]", ("race",), by_chance=True, why="another", issues=())
JUNIT = """<testsuites><testsuite>
<testcase name="Green[t8]"><properties><property name="mps_verdict" value="pass"/></properties></testcase>
<testcase name="Crashes[t8]"><properties><property name="mps_verdict" value="crash"/>
<property name="mps_failures" value="1 of 2"/></properties><failure message="SIGABRT: words">long</failure></testcase>
<testcase name="Late[t8]"><skipped message="time budget spent (--mps-seconds=9): not run"/></testcase>
<testcase name="Lacks[t8]"><skipped message="core here has no streams"/></testcase>
<testcase name="Raises[t8]"><error message="failed on setup">long</error></testcase>
</testsuite></testsuites>"""


def words(seen: dict[str, Seen], *expected: Expected) -> list[tuple[str, str, bool]]:
    return [(line.word, line.item, line.is_red) for line in compared(seen, expected)]


class TestCompared:
    def test_a_failure_of_the_list_is_expected(self) -> None:
        (line,) = compared({"Sure[t8]": Seen("hang", "no end")}, [SURE])
        assert (line.word, line.is_red, line.text) == ("expected", False, "HANG: a reason https://one")

    def test_a_failure_that_is_not_on_it_is_red(self) -> None:
        assert words({"New[t8]": Seen("mismatch", "wrong")}) == [("NEW", "New[t8]", True)]

    def test_so_is_another_verdict(self) -> None:
        (line,) = compared({"Sure[t8]": Seen("mismatch", "wrong\nmore")}, [SURE])
        assert (line.word, line.is_red, line.text) == (
            "OTHER",
            True,
            "MISMATCH, expected CRASH or HANG: wrong",
        )

    def test_one_that_is_gone_is_red_unless_chance_may_hide_it(self) -> None:
        seen = {"Sure[t8]": Seen("pass", ""), "Chance[t8]": Seen("pass", "")}
        assert words(seen, CHANCE, SURE) == [("GONE", "Sure[t8]", True), ("by chance", "Chance[t8]", False)]

    def test_one_that_the_time_did_not_suffice_for_is_not(self) -> None:
        late = Seen("", "time budget spent (--mps-seconds=9): not run")
        assert words({"Sure[t8]": late}, SURE) == [("not run", "Sure[t8]", False)]

    @pytest.mark.parametrize("seen", [{}, {"Sure[t8]": Seen("", "core here has no events")}])
    def test_one_that_does_not_run_is_red(self, seen: dict[str, Seen]) -> None:
        ((_, item, is_red),) = words(seen, SURE)
        assert (item, is_red) == ("Sure[t8]", True)

    def test_what_is_green_is_not_spoken_of(self) -> None:
        assert not words({"Green[t8]": Seen("pass", ""), "Lacks[t8]": Seen("", "no streams")})


def test_items_are_read_from_what_pytest_writes(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(JUNIT)
    seen = check_core.read_items(tmp_path / "junit.xml")
    assert seen["Crashes[t8]"] == Seen("crash", "SIGABRT: words")
    assert [name for name, one in seen.items() if one.has_failed] == ["Crashes[t8]", "Raises[t8]"]
    assert [name for name, one in seen.items() if one.is_out_of_time] == ["Late[t8]"]


class TestShares:
    """Items on the list run first, and apart: a time budget must not decide whether they are reached."""

    def collected(self, *more: str) -> list[str]:
        command = [
            sys.executable, "-m", "pytest", "scenarios", "--collect-only", "-q", "--mps-threads=8", "-p", "no:cacheprovider", *more
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return sorted(line.rpartition("::")[2] for line in done.stdout.splitlines() if "::" in line)

    def test_no_item_is_lost_or_runs_twice(self) -> None:
        listed, others = (
            self.collected("-p", "tools.core_items", f"--core-items={share}") for share in (LISTED, OTHERS)
        )
        assert listed == sorted(one.item for one in check_core.load())
        assert sorted([*listed, *others]) == self.collected()

    @pytest.fixture
    def scenarios(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scenarios:
        """What `Check.scenarios` returns where the two pytest runs end like this."""
        monkeypatch.setattr(check_core, "load", lambda: (SURE,))

        def run(shares: dict[str, dict[str, Seen] | str]) -> tuple[str, list[str]]:
            ran: list[str] = []

            def run_share(_: Check, share: str) -> dict[str, Seen] | str:
                ran.append(share)
                return shares[share]

            monkeypatch.setattr(Check, "_run", run_share)
            found = Check(builder=None, given="tree", runs=0, seconds=9, folder=tmp_path).scenarios()  # type: ignore[arg-type]
            assert ran == [LISTED, OTHERS]
            return found

        return run

    def test_the_two_come_to_one_result(self, scenarios: Scenarios) -> None:
        late = Seen("", "time budget spent (--mps-seconds=9): not run")
        summary, red = scenarios(
            {LISTED: {"Sure[t8]": Seen("hang", "")}, OTHERS: {"A": Seen("pass", ""), "B": late}}
        )
        assert summary.startswith("3 items: 1 passed, 1 failed, 0 skipped")
        assert not red

    def test_one_that_does_not_run_is_red(self, scenarios: Scenarios) -> None:
        _, red = scenarios({LISTED: {"Sure[t8]": Seen("hang", "")}, OTHERS: "pytest ended with 4: words"})
        assert red == ["the scenarios did not run (others: pytest ended with 4: words)"]

    def test_so_is_an_item_of_both(self, scenarios: Scenarios) -> None:
        both = {"Sure[t8]": Seen("hang", "")}
        assert scenarios({LISTED: both, OTHERS: both})[1] == ["Sure[t8] ran twice: two items have one name"]


class TestList:
    def test_that_is_shipped_can_be_read_and_names_its_reasons(self) -> None:
        found = check_core.load()
        assert found
        for one in found:
            assert len(one.why.split()) >= 4, one.item
            assert all(link.startswith("https://github.com/pytorch/pytorch/") for link in one.issues), (
                one.item
            )

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("[[failure]]\nverdicts=[]", "an entry without an item: 'item'"),
            ('[[failure]]\nitem="A"\nverdicts=["noise"]', "A: 'noise' is not a valid Verdict"),
            (
                '[[failure]]\nitem="A"\nverdicts=["crash"]\nby_chance=false\nwhy="w"\nissues=[]\n' * 2,
                "A stands there twice",
            ),
        ],
    )
    def test_with_a_mistake_is_refused(self, tmp_path: Path, text: str, reason: str) -> None:
        (tmp_path / "list.toml").write_text(text)
        with pytest.raises(ListError, match=reason):
            check_core.load(tmp_path / "list.toml")


class TestNotChecked:
    """One line for a person, which `.ci/run` reads from a file."""

    def outcome(self, tree: Path, status: int) -> str:
        file = tree.parent / "core" / "outcome.txt"
        assert check_core.main([str(tree), f"--outcome={file}"]) == status
        return file.read_text()

    def test_without_the_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        said = self.outcome(tmp_path / "tree", check_core.NOT_CHECKED)
        assert said == "core: not checked: its source package cannot be had here\n"
        printed = capsys.readouterr()
        assert printed.out == said
        assert printed.err.startswith("fetch_pytorch: no PyTorch tree from Debian: apt-get is missing")

    def test_without_a_compiler(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def core_builder(given: str) -> None:
            raise BuildError("a core needs clang 18 or newer\nmore")

        monkeypatch.setattr(check_core, "core_builder", core_builder)
        said = self.outcome(small_tree(tmp_path / "tree"), check_core.NOT_CHECKED)
        assert said == "core: not checked: a core needs clang 18 or newer\n"

    def test_a_tree_of_something_else(self, tmp_path: Path) -> None:
        tree = small_tree(tmp_path / "tree")
        shutil.rmtree(tree / "aten")
        said = self.outcome(tree, check_core.BAD_INPUT)
        assert said.startswith(f"core: bad input: --pytorch={tree}: not a PyTorch source tree")


SUMMARY = "========= 12 passed, 1 skipped in 3.21s (0:00:03) ========="
MAKE = f"""#!/bin/sh
case "$*" in
  test) echo '{SUMMARY}'; exit {{test}};;
  "core RUNS=0 "*) mkdir -p build/core; {{core}};;
esac
"""


class TestCi:
    """`.ci/run` in a folder of its own, with a stand-in for make."""

    def run(self, tmp_path: Path, *, test: int, core: str) -> tuple[int, list[str]]:
        (tmp_path / ".ci").mkdir()
        shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
        (tmp_path / "build" / "core").mkdir(parents=True)
        (tmp_path / "build" / "core" / "outcome.txt").write_text("core: as expected: of an earlier run\n")
        make = tmp_path / "bin" / "make"
        make.parent.mkdir()
        make.write_text(MAKE.format(test=test, core=core))
        make.chmod(0o755)
        done = subprocess.run(
            ["bash", ".ci/run"], cwd=tmp_path, env={"PATH": f"{make.parent}:/usr/bin:/bin"}, capture_output=True, text=True, check=False
        )  # fmt: skip
        core_line, tests_line, summary = done.stdout.splitlines()[-3:]
        assert summary == SUMMARY, "for whoever reads the last line of a CI alone"
        return done.returncode, [tests_line, core_line]

    def said(self, text: str, status: int) -> str:
        return f'echo "{text}" > build/core/outcome.txt; exit {status}'

    def test_is_green_with_both(self, tmp_path: Path) -> None:
        status, last = self.run(tmp_path, test=0, core=self.said("core: as expected: all", 0))
        assert (status, last) == (0, ["tests: passed", "core: as expected: all"])

    def test_is_green_where_core_cannot_be_checked(self, tmp_path: Path) -> None:
        status, last = self.run(tmp_path, test=0, core=self.said("core: not checked: no package", 2))
        assert (status, last) == (0, ["tests: passed", "core: not checked: no package"])

    def test_is_red_with_core(self, tmp_path: Path) -> None:
        status, last = self.run(tmp_path, test=0, core=self.said("core: NOT as expected: NEW: A", 2))
        assert (status, last) == (1, ["tests: passed", "core: NOT as expected: NEW: A"])

    def test_is_green_where_time_is_up(self, tmp_path: Path) -> None:
        status, last = self.run(tmp_path, test=0, core="exit 124")
        assert (status, last) == (0, ["tests: passed", "core: not checked: not done after 10 minutes"])

    def test_is_red_where_core_ends_without_a_word(self, tmp_path: Path) -> None:
        status, (_, last) = self.run(tmp_path, test=0, core="kill -9 $$")
        assert (status, last) == (1, "core: NOT as expected: make core ended before it came to a result")

    def test_is_red_with_the_tests_whatever_core_says(self, tmp_path: Path) -> None:
        status, last = self.run(tmp_path, test=2, core=self.said("core: not checked: no package", 2))
        assert (status, last) == (
            1,
            ["tests: FAILED (make test ended with 2)", "core: not checked: no package"],
        )
