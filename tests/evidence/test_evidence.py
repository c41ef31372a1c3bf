"""`mps-stress evidence`: numbers from records, the patch as git sees it, a checklist that claims nothing unshown."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stress.commands.evidence.document import document_of
from stress.commands.evidence.lint import lint
from stress.commands.evidence.options import EvidenceOptions
from stress.commands.evidence.patch import PatchError
from stress.commands.evidence.patch import read_patch
from stress.commands.evidence.patch import read_tree
from stress.commands.evidence.power import Power
from stress.device.sim.zoo import BY_NAME
from stress.model.markdown import block
from stress.model.markdown import code
from stress.model.markdown import plain
from stress.model.markdown import table
from stress.record.aggregate import read_folders
from tests.made_records import CRASH
from tests.made_records import FORK
from tests.made_records import MAC
from tests.made_records import Made
from tests.made_records import hostile_strings
from tests.made_records import run_of
from tests.made_records import simulated
from tests.page.made_page import write_runs

LINEAR = "scenarios/linear.py::SharedLinear[float32-t8]"
SOURCE = "aten/src/ATen/mps/MPSStream.mm"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Fork:
    """A small tree with one commit, and a patch on it that adds a source, a test and a binary."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        (self.tree / SOURCE).parent.mkdir(parents=True)
        (self.tree / SOURCE).write_text("one\ntwo\nthree\n")
        git(folder, "init", "-q", str(self.tree))
        git(self.tree, "add", "-A")
        git(self.tree, "commit", "-q", "-m", "base")
        self.base = self.head
        (self.tree / SOURCE).write_text("one\n2\nthree\nfour\n")
        (self.tree / "test").mkdir()
        (self.tree / "test" / "test_mps.py").write_text("def f(x):\n    return x\n")
        (self.tree / "new.mm").write_text("// no holder named\nint x;\n")
        git(self.tree, "add", "-A")
        git(self.tree, "commit", "-q", "-m", "the patch")
        self.patch = folder / "my.patch"
        self.patch.write_text(git(self.tree, "format-patch", "--stdout", f"--base={self.base}", "HEAD~1"))

    @property
    def head(self) -> str:
        return git(self.tree, "rev-parse", "HEAD").strip()

    def back(self) -> None:
        git(self.tree, "checkout", "-q", self.base)


@pytest.fixture(scope="module")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Fork:
    return Fork(tmp_path_factory.mktemp("fork"))


def text_of(*runs: Path, **more: Any) -> str:
    return document_of(EvidenceOptions(tuple(runs), **more), "made now")


def part(text: str, heading: str) -> str:
    opened = rf"^(?:## |<details><summary>){re.escape(heading)}(?:</summary>)?\n"
    found = re.search(rf"{opened}(.*?)(?=^## |^<details>|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


class TestPatch:
    def test_is_identified(self, fork: Fork) -> None:
        patch = read_patch(fork.patch)
        assert patch.md5 == hashlib.md5(fork.patch.read_bytes()).hexdigest()
        assert (patch.base, patch.commits) == (fork.base, 1)
        assert (patch.added, patch.removed) == (6, 1)
        assert [(one.path, one.is_new) for one in patch.files] == [
            (SOURCE, False), ("new.mm", True), ("test/test_mps.py", True),
        ]  # fmt: skip

    def test_is_tried_on_the_tree_and_changes_nothing(self, fork: Fork) -> None:
        patch = read_patch(fork.patch)
        tree = read_tree(fork.tree, fork.patch, patch)
        assert (tree.applies, tree.head, tree.is_dirty) == ("already applied", fork.head, False)
        assert [str(one) for one in tree.changed] == [SOURCE, "new.mm", "test/test_mps.py"]

    def test_applies_or_says_why_not(self, tmp_path: Path) -> None:
        fork = Fork(tmp_path)
        fork.back()
        patch = read_patch(fork.patch)
        assert read_tree(fork.tree, fork.patch, patch).applies == "yes"
        (fork.tree / SOURCE).write_text("something else\n")
        tree = read_tree(fork.tree, fork.patch, patch)
        assert tree.applies.startswith("no: error: patch failed")
        assert tree.is_dirty is True

    def test_what_is_no_patch_is_refused(self, tmp_path: Path) -> None:
        for name, content in (("empty", b""), ("words", b"not a patch\n"), ("zeros", b"\0" * 1000)):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(PatchError, match="git finds no patch in it"):
                read_patch(tmp_path / name)
        with pytest.raises(PatchError, match="cannot read"):
            read_patch(tmp_path / "nothing")
        with pytest.raises(PatchError, match="not a git checkout"):
            read_tree(tmp_path, None, None)

    def test_names_that_lead_out_of_the_tree_are_not_linted(self, tmp_path: Path) -> None:
        fork = Fork(tmp_path)
        outside = tmp_path / "outside.py"
        outside.write_text("x = 1\n")
        (fork.tree / "link.py").symlink_to(outside)
        evil = fork.patch.read_text().replace("b/new.mm", "b/link.py")
        fork.patch.write_text(evil)
        tree = read_tree(fork.tree, fork.patch, read_patch(fork.patch))
        assert all("link" not in str(one) and ".." not in str(one) for one in tree.changed)


class TestDocument:
    @pytest.fixture(scope="class")
    @classmethod
    def text(cls, tmp_path_factory: pytest.TempPathFactory) -> str:
        return text_of(write_runs(tmp_path_factory.mktemp("runs")))

    def test_every_section_that_has_something_to_say_is_there(self, text: str) -> None:
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
            "Summary",
            "Failures by name",
            "One attempt of each",
        ]
        assert re.findall(r"^<details><summary>(.*)</summary>$", text, re.MULTILINE) == [
            "Results", "Confidence and power", "ThreadSanitizer", "Throughput", "Failures",
            "Submission checklist", "Not shown by these records",
        ]  # fmt: skip

    def test_numbers_are_those_of_the_records(self, text: str) -> None:
        assert (
            "| `scenarios/linear.py::SharedLinear[float32-t16]` | CRASH SIGABRT | 7/80 | 1.9 % to 23 % | 0/7 |"
            in text
        )
        assert "0 of 80 attempts failed: failure rate below 3.7 % at 95 %" in part(
            text, "Confidence and power"
        )

    def test_unlike_items_have_no_rate_together(self, text: str) -> None:
        told = part(text, "Summary")
        assert "**5 of 9 items failed (17 of their 326 attempts); a failure rate of" in told
        assert "together" not in told

    def test_what_only_a_person_can_do_is_never_claimed(self, text: str) -> None:
        rows = [line for line in part(text, "Submission checklist").splitlines() if "| a person |" in line]
        assert len(rows) == 4
        assert any("CLA" in row for row in rows)
        assert any("AI" in row for row in rows)

    def test_what_the_records_do_not_show_is_listed(self, text: str) -> None:
        told = part(text, "Submission checklist")
        assert "| power of the detector | not shown |" in told
        assert "| chips M1, M2, M3, M4, M5 | not shown | ran on M2, M4; not on M1, M3, M5 |" in told
        assert "| macOS 14, 15, 26 | not shown | ran on 15, 26; not on 14 |" in told
        assert "have no one-thread control" in part(text, "Not shown by these records")

    def test_a_simulated_run_alone_shows_nothing_about_metal(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run", **simulated())
        made.attempts(LINEAR, {"pass": 20})
        made.item("tsan::pool", "pass", 3, 0, sentence="pool: 0 races in 3 runs; canary found; simulated")
        text = text_of(made.end().folder)
        told = part(text, "Submission checklist")
        assert "| no scenario fails on a real Apple GPU | not shown |" in told
        assert "| ThreadSanitizer | not shown |" in told
        assert "| shown |" not in told
        assert "says nothing about Metal" in text

    def test_a_build_of_another_commit_is_told(self, tmp_path: Path, fork: Fork) -> None:
        right = {**FORK, "git": fork.head}
        run_of(tmp_path / "a", {LINEAR: {"pass": 20}}, torch=right)
        good = text_of(tmp_path / "a", patch=fork.patch, tree=fork.tree)
        assert "| what was tested is a build of the tree | shown |" in good
        run_of(tmp_path / "b", {LINEAR: {"pass": 20}})
        mixed = text_of(tmp_path, patch=fork.patch, tree=fork.tree)
        assert "| what was tested is a build of the tree | not met |" in mixed
        assert "**not a build of the tree's HEAD**" in part(mixed, "Summary")

    def test_a_build_of_the_tree_without_a_mac_is_not_told_as_nothing(
        self, tmp_path: Path, fork: Fork
    ) -> None:
        run_of(tmp_path / "a", {LINEAR: {"pass": 5}}, **{**simulated(), "torch": {**FORK, "git": fork.head}})
        text = text_of(tmp_path / "a", tree=fork.tree)
        assert "(built from the tree's HEAD)" in part(text, "Summary")
        assert (
            "| a build of the tree's HEAD ran, but no run on a real Apple GPU is among the records |" in text
        )

    def test_before_and_after(self, tmp_path: Path) -> None:
        base = run_of(tmp_path / "base", {LINEAR: {"pass": 20, "crash": 20}})
        after = run_of(tmp_path / "after", {LINEAR: {"pass": 40}}, torch=FORK)
        text = text_of(after, base=(base,))
        assert f"| `{LINEAR}` | 20/40 | 0/40 | BETTER (p below 0.0001) |" in part(text, "Before and after")
        said = "a failure rate of 7.2 % or more is excluded at 95 % for 1 item (0 of 40 attempts failed)"
        assert f"| no regression against the runs before | none seen | {said} |" in text

    def test_five_clean_attempts_show_no_more_than_they_exclude(self, tmp_path: Path) -> None:
        items = {f"a.py::S{number}[t8]": {"pass": 5} for number in range(3)}
        text = text_of(
            run_of(tmp_path / "after", items, torch=FORK), base=(run_of(tmp_path / "base", items),)
        )
        said = "none seen | a failure rate of 45.1 % or more is excluded at 95 % for each of 3 items (0 of 5 attempts failed)"
        assert f"| no regression against the runs before | {said} |" in text
        assert f"| no scenario fails on a real Apple GPU | {said} |" in text

    def test_attempts_that_do_not_count_show_nothing(self, tmp_path: Path) -> None:
        text = text_of(run_of(tmp_path / "run", {LINEAR: {"inconclusive": 5}}))
        assert "| no scenario fails on a real Apple GPU | not shown | none of their attempts counts |" in text

    def test_a_regression_that_no_item_shows_by_itself(self, tmp_path: Path) -> None:
        base = run_of(tmp_path / "base", {f"a.py::S{number}[t8]": {"pass": 10} for number in range(14)})
        after = Made(tmp_path / "after", torch=FORK)
        for number in range(14):
            failed = 2 if number else 0
            after.attempts(
                f"a.py::S{number}[t8]",
                {"pass": 10 - failed, "crash": failed},
                signature="metal/handler-after-commit",
            )
        text = text_of(after.end().folder, base=(base,))
        assert (
            "| no regression against the runs before | not met | NEW is worse: metal/handler-after-commit. |"
            in text
        )
        row = "| `metal/handler-after-commit` in 13 items | 0/130 | 26/130 | WORSE (p below 0.0001) |"
        assert row in part(text, "Before and after")

    def test_items_that_only_the_base_has(self, tmp_path: Path) -> None:
        items = {f"a.py::S{number}[t8]": {"pass": 5} for number in range(19)}
        base = run_of(tmp_path / "base", items)
        after = run_of(tmp_path / "after", dict(list(items.items())[:3]), torch=FORK)
        text = text_of(after, base=(base,))
        assert "Only before: `a.py::S10[t8]`, `a.py::S11[t8]`, " in part(text, "Before and after")
        assert "and 12 more." in part(text, "Before and after")
        assert "`a.py::S18[t8]`" in part(text, "Every item before and after")
        assert (
            "| no regression against the runs before | not shown | Nothing shows that 16 items of BASE are not worse"
            in text
        )

    def test_the_line_that_repeats_it_is_one_that_a_reader_upstream_has(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "2026-11-12T0100Z-m2pro-aaaa")
        named = made.start(LINEAR, serial=17)
        made.write("attempt_end", **named, serial=17, verdict="crash", seconds=0.5, headline="boom")
        text = text_of(made.end().folder)
        assert f"$ pytest '{LINEAR}' --mps-threads=8" in text
        assert "mps-stress replay" not in text

    def test_an_attempt_of_a_campaign_is_repeated_by_pytest_too(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run", command="campaign", seed=0x2A)
        named = {"item": LINEAR, "role": "crew", "attempt": 0, "serial": 3}
        made.write("attempt_start", **named, scenario="SharedLinear", params={}, threads=8, iterations=20, seed=11,
                   command="mps-stress replay run/3", perturb="op", readback="every")  # fmt: skip
        made.write("attempt_end", **named, verdict="crash", seconds=0.5, headline="boom")
        text = text_of(made.end().folder)
        assert f"$ pytest '{LINEAR}' --mps-threads=8 --mps-seed=0x2a --mps-device=mps" in text
        assert "replay" not in text

    def test_known_limitations_with_their_current_rate(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "run")
        made.attempts(LINEAR, {"pass": 15, "crash": 5})
        made.item(LINEAR, "crash", 20, 5, origin=["known limitation: not re-entrant", "x#1"])
        told = part(text_of(made.end().folder), "Known limitations")
        assert f"| `{LINEAR}` | known limitation: not re-entrant | 5/20 |" in told


STACK = """Fatal Python error: Aborted

Stack (most recent call first):
  File "/x/lib/python3.11/site-packages/torch/_ops.py", line 875 in __call__
  File "/x/stress/child/perturb/op_mode.py", line 81 in __torch_dispatch__
  File "/x/scenarios/copies.py", line 122 in step
  File "/x/stress/child/crew.py", line 197 in _run_slots
"""
NAMES = ("metal/encode-after-commit", "metal/double-commit", "metal/encoder-overlap")


def commit_twice(folder: Path, *, names: int = 3, clean: int = 100, machines: int = 1, **fields: Any) -> Path:
    """Write what `--mps-sim-faults=commit_twice` leaves over the quick profile: 14 items fail, a few names, canaries."""
    for machine in range(machines):
        made = Made(
            folder / f"{folder.name}{machine}",
            **{**simulated(faults=[{"name": "commit_twice", "probability": 0.01}]), **fields},
        )
        made_on = f"{machine}" if machine else ""
        (made.folder / "host-1-1000-7.stacks").write_text(STACK)
        for number in range(clean):
            made.attempts(f"scenarios/file{number % 9}.py::Clean{number}{made_on}[t8]", {"pass": 5})
        for number in range(14):
            name = NAMES[number % names] if names <= len(NAMES) else f"metal/new-{number % names}"
            item = f"scenarios/parallel_ops.py::Ops{number}[float32-t8]"
            made.attempts(
                item,
                {"pass": 3, "crash": 2},
                signature=name,
                headline=CRASH,
                signal="SIGABRT",
                stacks="host-1-1000-7.stacks",
            )
            for _ in range(5):
                made.attempt(item, role="control")
        for number in range(4):
            made.attempts(f"scenarios/canary.py::Planted{number}[t8]", {"race": 5})
            made.item(f"scenarios/canary.py::Planted{number}[t8]", "pass", 5, 5, canary=True)
        made.end(1)
    return folder


def open_lines(text: str) -> int:
    """Return how many lines of Markdown stand before the folded part."""
    return len(text.partition("<details>")[0].splitlines())


class TestLength:
    """A maintainer reads two minutes: what is needed for that stands in at most 60 lines, whatever failed."""

    def test_one_fault_over_the_quick_profile(self, tmp_path: Path) -> None:
        text = text_of(commit_twice(tmp_path))
        assert open_lines(text) <= 60
        shown = text.partition("<details>")[0]
        assert "**14 of 114 items failed (28 of their 70 attempts);" in shown
        assert "All 4 canaries (planted faults) were found." in shown
        assert "| `metal/encode-after-commit` | yes | 5 | 10/25 | 0/25 |" in shown
        assert shown.count("$ pytest '") == 3
        assert "  step (scenarios/copies.py:122)" in shown
        assert "crew.py" not in shown

    def test_with_the_runs_before(self, tmp_path: Path) -> None:
        base = commit_twice(tmp_path / "base", names=1, torch=FORK)
        text = text_of(commit_twice(tmp_path / "new"), base=(base,))
        assert open_lines(text) <= 60
        assert "WORSE" in text.partition("<details>")[0]

    def test_many_names_on_several_machines(self, tmp_path: Path) -> None:
        for number in range(6):
            chip = {"host": "vm", "system": "Linux", "chip": f"chip {number}", "cpu_count": 2, "env": {}}
            commit_twice(tmp_path / f"m{number}", names=14, clean=5, environment=chip)
        text = text_of(*tmp_path.iterdir())
        assert open_lines(text) <= 60
        assert "2 more groups of machines, builds and settings" in text
        assert "$ pytest" in text.partition("<details>")[0]
        # Nothing is lost: what had no room is folded.
        assert part(text, "Failures").count("$ pytest '") >= 10

    def test_the_draft_of_an_issue(self, tmp_path: Path) -> None:
        text = text_of(commit_twice(tmp_path), draft="issue")
        assert open_lines(text) <= 60
        assert text.count("AMD EPYC") == 2  # its line under Versions, and the heading of its table


class TestDrafts:
    def test_an_issue_has_the_table_and_gaps_for_a_person(self, tmp_path: Path) -> None:
        text = text_of(write_runs(tmp_path), draft="issue")
        row = "| `scenarios/linear.py::SharedLinear[float32]` | 16 | 20 | 7/80 | 0/7 |"
        assert row in text
        assert "A command encoder is already encoding" in text
        assert "[to be written by the person who submits]" in text
        assert "LostUpdate" not in text

    def test_a_pull_request_tells_what_still_fails(self, tmp_path: Path, fork: Fork) -> None:
        text = text_of(write_runs(tmp_path), draft="pr", patch=fork.patch)
        assert "Changes 3 files (+6 -1)" in text
        assert "### What still fails" in text
        assert "AI_POLICY" in text

    def test_a_simulated_run_makes_no_draft_to_be_posted(self, tmp_path: Path) -> None:
        run_of(tmp_path / "run", {LINEAR: {"crash": 5}}, **simulated())
        for draft in ("issue", "pr"):
            assert "must not be posted as it is" in text_of(tmp_path, draft=draft)


class TestSanitizer:
    @pytest.mark.parametrize(
        ("found", "problem", "state"),
        [(5, "", "shown"), (0, "", "not met"), (5, "no canary was reported", "not met")],
    )
    def test_silence_counts_only_where_canaries_were_found(
        self, tmp_path: Path, found: int, problem: str, state: str
    ) -> None:
        made = Made(
            tmp_path / "run", tsan={"compiler": "clang 19", **({"problem": problem} if problem else {})}
        )
        made.attempts(LINEAR, {"pass": 20})
        made.attempts("c.py::Planted[t8]", {"race": found, "pass": 5 - found})
        made.item("c.py::Planted[t8]", "pass", 5, found, canary=True)
        text = text_of(made.end().folder)
        assert "under ThreadSanitizer" in part(text, "ThreadSanitizer")
        assert f"{1 if found else 0} of 1 canaries found" in part(text, "ThreadSanitizer")
        assert f"| ThreadSanitizer | {state} |" in text

    def test_seeded_faults_are_no_findings_and_a_later_clean_run_takes_nothing_back(
        self, tmp_path: Path
    ) -> None:
        for number, (verdict, text) in enumerate(
            (("race", "pool 8 x 50: RACE"), ("pass", "pool 8 x 50: 0 races"))
        ):
            made = Made(tmp_path / f"run{number}", command="tsan", time=1000.0 + number)
            made.item("tsan/harness.toml::pool[t8]", verdict, 3, 0, sentence=text)
            made.item("tsan/harness.toml::pool+planted[t8]", "race", 3, 3, sentence="pool with planted: RACE")
            made.end()
        text = text_of(tmp_path)
        told = part(text, "ThreadSanitizer")
        assert "`pool 8 x 50: 0 races; 1 of the 2 runs of this case were not clean`" in told
        assert "planted" not in told
        assert "| ThreadSanitizer | not met |" in text


class TestPower:
    def test_killed_faults_are_counted_again_from_the_records(self, tmp_path: Path) -> None:
        settings = {"faults": ["commit_twice", "copy_torn", "allocator_aba"]}
        made = Made(tmp_path / "run", command="power", settings=settings, **simulated())
        killed, missed = (BY_NAME[name] for name in ("commit_twice", "copy_torn"))
        for fault, failing in ((killed, 18), (missed, 1)):
            more = {"fault": fault.name, "twin": False, "probability": 0.01, "entry": "e"}
            for number in range(20):
                named = made.start(f"power::{fault.name}::e")
                verdict = str(fault.verdict) if number < failing else "pass"
                made.write("attempt_end", **named, **more, verdict=verdict, seconds=0.5, headline="")
        for verdict in ("pass", "pass", "hang"):
            named = made.start("power::commit_twice/twin::e")
            made.write("attempt_end", **named, fault="commit_twice", twin=True, probability=0.01, entry="e",
                       verdict=verdict, seconds=0.5, headline="")  # fmt: skip
        power = Power()
        read_folders([made.end().folder], {"power": power.add})
        first, twins, last = power.sentences()
        assert first.startswith("of 3 seeded faults of the simulated device this framework kills 1 (33 %)")
        assert first.endswith("; 1 of them not measured")
        assert twins == "on their fault-free twins 1 of 3 attempts failed (false alarms)"
        assert "nothing about a real backend" in last


class TestHostileRecords:
    def test_nothing_becomes_markdown(self, tmp_path: Path) -> None:
        for number, bad in enumerate(hostile_strings()):
            made = Made(
                tmp_path / f"run{number}",
                torch={"version": bad, "git": bad},
                environment={**MAC, "chip": bad},
            )
            made.attempts(f"a.py::S{bad}[t8]", {"crash": 1}, headline=bad, signature=bad)
            made.item(f"a.py::S{bad}[t8]", "crash", 1, 1, origin=[f"known limitation: {bad}"], sentence=bad)
            made.end()
        text = text_of(tmp_path)
        outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
        outside = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", outside)
        outside = re.sub(r"\\[^\w\s]", "", outside)  # what a backslash escapes
        assert not re.search(r"<(?!/?(details|summary)>|https://github\.com/)", outside)
        assert "](" not in outside
        assert "example.org" not in outside.replace("&#58;//example.org", "")
        assert "\n# heading" not in outside
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)

    @pytest.mark.parametrize("bad", hostile_strings())
    def test_spans_and_cells_hold_what_they_are_given(self, bad: str) -> None:
        assert "\n" not in code(bad)
        assert table(["a"], [[code(bad)]]).count("\n") == 2
        assert not re.search(r"[<>]|(?<!\\)[\[\]|`]", plain(bad))
        assert block(bad, 9).splitlines()[-1] == block(bad, 9).splitlines()[0].removesuffix("text")

    def test_backticks_cannot_end_a_span_or_a_block(self) -> None:
        assert code("a``b") == "```a``b```"
        assert code("`a`") == "`` `a` ``"
        assert block("```\n# x", 9).startswith("````text")


class TestLint:
    def test_tools_that_are_there_run_and_others_are_told(self, fork: Fork) -> None:
        patch = read_patch(fork.patch)
        found = {one.name: one for one in lint(read_tree(fork.tree, fork.patch, patch), patch)}
        assert found["licence headers"].ok is False
        assert "new.mm" in found["licence headers"].text
        assert found["docstrings (Google rules)"].ok is False  # f has none
        assert found["lintrunner"].ok is None
        assert found["lintrunner"].text == "not run: lintrunner is not installed"


class TestCommand:
    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "stress.commands.cli", "evidence", *arguments],
            capture_output=True, text=True, timeout=800, check=False,
        )  # fmt: skip

    def test_prints_markdown_without_names(self, tmp_path: Path, fork: Fork) -> None:
        run_of(tmp_path / "run", {LINEAR: {"pass": 5}})
        done = self.run(str(tmp_path / "run"), f"--patch={fork.patch}", f"--torch-source={fork.tree}")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("# Evidence for `my.patch`")
        assert str(fork.tree) not in done.stdout
        assert "m2pro" not in done.stdout

    def test_an_empty_run_folder_is_one_sentence_and_status_2(self, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "host-1-1000.jsonl").touch()
        done = self.run(str(tmp_path / "run"))
        assert (done.returncode, done.stdout) == (2, "")
        assert (
            done.stderr == f"mps-stress evidence: no run in {tmp_path / 'run'}: its record files are empty\n"
        )

    @pytest.mark.parametrize(
        "bad", ["--patch=/nothing", "--torch-source=/nothing", "--base=/nothing", "--lint"]
    )
    def test_bad_input_is_one_sentence_and_status_2(self, tmp_path: Path, bad: str) -> None:
        run_of(tmp_path / "run", {LINEAR: {"pass": 1}})
        done = self.run(str(tmp_path / "run"), bad)
        assert done.returncode == 2
        assert done.stderr.startswith("mps-stress evidence: ")
        assert done.stderr.count("\n") == 1


def test_the_made_records_are_valid(tmp_path: Path) -> None:
    whole = read_folders([write_runs(tmp_path)])
    assert (whole.problems, dict(whole.unknown_kinds)) == ([], {})
    assert json.dumps(sorted(whole.runs))
