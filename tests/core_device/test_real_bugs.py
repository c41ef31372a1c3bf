"""The list of real bugs and its edits, on the small tree; whether they fit PyTorch's own is what `make core` sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.real_bugs import bugs
from benchmarks.real_bugs.bugs import BugError
from benchmarks.real_bugs.bugs import Edit
from benchmarks.real_bugs.bugs import RealBug
from benchmarks.real_bugs.operator_cases import CASES
from stress.device.core.tree import OPERATIONS
from stress.device.core.tree import PytorchTree
from stress.device.core.tree import inspect
from tests.core_device.trees import STREAM
from tests.core_device.trees import small_tree

QUOTED_LINES_MAX = 6
ENTRY = """
[[bug]]
name = "one"
where = "somewhere"
what = "Something."
case = "fill"
threads = 8
shows = "race"
upstream = []
[[bug.edits]]
file = "aten/src/ATen/mps/MPSStream.mm"
find = "[current() commit];"
replace = "[[current() retain] commit];"
"""


def bug(name: str, *edits: Edit) -> RealBug:
    return RealBug(name, "somewhere", "Something.", "fill", 8, "", "race", (), (), edits)


@pytest.fixture
def tree(tmp_path: Path) -> PytorchTree:
    return inspect(str(small_tree(tmp_path / "tree")))


class TestFixedCopy:
    def test_differs_in_what_the_edits_change_and_the_tree_in_nothing(
        self, tree: PytorchTree, tmp_path: Path
    ) -> None:
        one = bug("one", Edit(STREAM, "[current() commit];", "[[current() retain] commit];"))
        copy = bugs.fixed_copy(tree, tmp_path / "copy", [one])
        assert "[[current() retain] commit];" in (copy.root / STREAM).read_text()
        assert {name for name in tree.hashes if tree.hashes[name] != copy.hashes[name]} == {STREAM}
        assert copy.hashes.keys() == tree.hashes.keys()
        assert inspect(str(tree.root)).content == tree.content
        assert bugs.title(tree, [one]) == f"{tree.describe()} with fixes of one"

    def test_takes_the_place_of_an_older_one(self, tree: PytorchTree, tmp_path: Path) -> None:
        small_tree(tmp_path / "copy", version="1.0.0")
        assert bugs.fixed_copy(tree, tmp_path / "copy", []).content == tree.content

    def test_makes_an_edit_that_two_fixes_share_once(self, tree: PytorchTree, tmp_path: Path) -> None:
        shared = Edit(STREAM, "[current() commit];", "[[current() retain] commit];")
        more = Edit(STREAM, "command_buffer_ = nil;", "command_buffer_ = nullptr;")
        copy = bugs.fixed_copy(tree, tmp_path / "copy", [bug("one", shared), bug("two", shared, more)])
        text = (copy.root / STREAM).read_text()
        assert "retain] commit" in text
        assert "= nullptr;" in text

    @pytest.mark.parametrize(
        ("find", "reason"),
        [
            ("[current() abandon];", "'[current() abandon];' is not in aten/src/ATen/mps/MPSStream.mm of"),
            ("[command_buffer_ release];\n", "'[command_buffer_ release];' stands 2 times in aten"),
        ],
    )
    def test_says_which_text_it_does_not_find_once(
        self, tree: PytorchTree, tmp_path: Path, find: str, reason: str
    ) -> None:
        with pytest.raises(BugError) as caught:
            bugs.fixed_copy(tree, tmp_path / "copy", [bug("one", Edit(STREAM, find, ""))])
        assert str(caught.value).startswith(f"fix of one: {reason}")

    def test_leaves_out_an_operators_edit_where_the_trees_operators_are_not_used(
        self, tmp_path: Path
    ) -> None:
        root = small_tree(tmp_path / "tree")
        linear = root / OPERATIONS / "Linear.mm"
        linear.parent.mkdir(parents=True)
        linear.write_text("one\n")
        mended = bug("one", Edit(f"{OPERATIONS}Linear.mm", "one", "two"))
        without = bugs.fixed_copy(inspect(str(root)), tmp_path / "without", [mended])
        assert without.hashes == inspect(str(root)).hashes
        copy = bugs.fixed_copy(inspect(str(root), "tree"), tmp_path / "copy", [mended])
        assert copy.operators == "tree"
        assert (copy.root / OPERATIONS / "Linear.mm").read_text() == "two\n"

    def test_says_which_file_is_not_there(self, tree: PytorchTree, tmp_path: Path) -> None:
        with pytest.raises(BugError, match=r"fix of one: aten/none\.mm cannot be read \(No such file"):
            bugs.fixed_copy(tree, tmp_path / "copy", [bug("one", Edit("aten/none.mm", "a", "b"))])


class TestList:
    def loaded(self, tmp_path: Path, text: str) -> tuple[RealBug, ...]:
        (tmp_path / "bugs.toml").write_text(text)
        return bugs.load(tmp_path / "bugs.toml")

    def test_is_read(self, tmp_path: Path) -> None:
        (one,) = self.loaded(tmp_path, ENTRY)
        assert (one.name, one.threads, one.metal, one.says) == ("one", 8, "", ())
        assert one.edits == (Edit(STREAM, "[current() commit];", "[[current() retain] commit];"),)

    @pytest.mark.parametrize(("says", "read"), [('"a"', ("a",)), ('["a", "b"]', ("a", "b"))])
    def test_may_name_several_texts(self, tmp_path: Path, says: str, read: tuple[str, ...]) -> None:
        (one,) = self.loaded(tmp_path, ENTRY.replace("upstream", f"says = {says}\nupstream"))
        assert one.says == read

    def test_says_which_cases_need_the_trees_operators(self, tmp_path: Path) -> None:
        (one,) = self.loaded(tmp_path, ENTRY)
        assert not one.is_of_operators
        (one,) = self.loaded(tmp_path, ENTRY.replace("threads = 8", "threads = 8\noperators = true"))
        assert one.is_of_operators

    def test_that_is_shipped_names_cases_of_operators_that_there_are(self) -> None:
        named = {one.case for one in bugs.load() if one.is_of_operators}
        assert named == set(CASES)

    @pytest.mark.parametrize(
        ("before", "after", "reason"),
        [
            (
                'shows = "race"',
                'shows = "noise"',
                "one: shows = 'noise': choose one of crash, race, hang, value",
            ),
            ("threads = 8", "", "one: threads is missing, or no int"),
            ("threads = 8", "threads = 8\nspeed = 1", "one: unknown keys ['speed']"),
            (ENTRY[ENTRY.index("[[bug.edits]]") :], "", "one: no edits"),
            (ENTRY, ENTRY + ENTRY, "one stands there twice"),
        ],
    )
    def test_with_a_mistake_is_refused(self, tmp_path: Path, before: str, after: str, reason: str) -> None:
        with pytest.raises(BugError) as caught:
            self.loaded(tmp_path, ENTRY.replace(before, after))
        assert reason in str(caught.value)

    def test_that_is_shipped_quotes_changed_lines_and_little_else(self) -> None:
        found = bugs.load()
        assert len(found) >= 8
        for one in found:
            for edit in one.edits:
                assert edit.find != edit.replace
                assert edit.find.count("\n") <= QUOTED_LINES_MAX, one.name
                assert edit.file.startswith(
                    ("aten/src/ATen/mps/", "aten/src/ATen/native/mps/", "torch/csrc/mps/")
                )
            assert all(link.startswith("https://github.com/pytorch/pytorch/") for link in one.upstream)
