"""What a PyTorch tree is said to be: bad ones are refused, and every way in which it is not its commit is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stress.device.core import tree
from stress.model.errors import OptionError
from tests.core_device.trees import STREAM
from tests.core_device.trees import committed_tree
from tests.core_device.trees import run_git
from tests.core_device.trees import small_tree

ATEN = "aten/src/ATen"


class TestRefused:
    def refused(self, given: Path | str) -> str:
        with pytest.raises(OptionError) as caught:
            tree.inspect(str(given))
        return caught.value.told("--")

    def test_no_such_folder(self, tmp_path: Path) -> None:
        assert self.refused(tmp_path / "no") == f"--pytorch={tmp_path}/no: no such folder"

    def test_a_file(self) -> None:
        assert self.refused(__file__).endswith("not a folder: give the root of a PyTorch source tree")

    def test_another_project(self, tmp_path: Path) -> None:
        (tmp_path / "setup.py").write_text("")
        said = self.refused(tmp_path)
        assert "not a PyTorch source tree, aten/src/ATen is missing: give the root of" in said

    def test_an_installed_torch(self, tmp_path: Path) -> None:
        (tmp_path / "include" / "ATen").mkdir(parents=True)
        assert "this is an installed torch; its sources are needed" in self.refused(tmp_path)

    def test_a_folder_inside_the_tree_or_around_it(self, tmp_path: Path) -> None:
        root = small_tree(tmp_path / "pytorch")
        assert f": give {root}, the root of the tree" in self.refused(root / "aten")
        assert self.refused(tmp_path).endswith(f": give {root}")

    def test_no_mps_backend(self, tmp_path: Path) -> None:
        root = small_tree(tmp_path / "tree")
        for path in (root / ATEN / "mps").glob("*.mm"):
            path.unlink()
        assert f"{ATEN}/mps is missing or has no sources: a PyTorch before 1.12" in self.refused(root)
        (root / ATEN / "mps").rename(root / "elsewhere")
        assert f"{ATEN}/mps is missing or has no sources" in self.refused(root)

    def test_no_version(self, tmp_path: Path) -> None:
        root = small_tree(tmp_path / "tree", version="unknown")
        assert "version.txt says 'unknown', which is no version" in self.refused(root)
        (root / "version.txt").unlink()
        assert "version.txt is missing" in self.refused(root)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        root = small_tree(tmp_path / "tree")
        (root / STREAM).unlink()
        (root / STREAM).symlink_to("nowhere.mm")
        assert re.search(r"it cannot be read \(.*No such file.*MPSStream\.mm", self.refused(root))

    def test_the_option_is_named_as_the_reader_types_it(self, tmp_path: Path) -> None:
        with pytest.raises(OptionError) as caught:
            tree.inspect(str(tmp_path / "no"))
        assert caught.value.told("--mps-").startswith("--mps-pytorch=")


class TestWithoutGit:
    def test_is_known_by_its_content(self, tmp_path: Path) -> None:
        one, other = (tree.inspect(str(small_tree(tmp_path / name))) for name in ("one", "other"))
        assert one.git is None
        assert one.content == other.content
        assert one.describe() == (
            f"ATen/mps of {tmp_path}/one, not in git, version 2.13.0a0, content {one.content[:12]}"
        )
        (tmp_path / "one" / STREAM).write_text("// changed\n")
        assert tree.inspect(str(tmp_path / "one")).content != other.content

    def test_inside_another_checkout_has_not_that_ones_commit(self, tmp_path: Path) -> None:
        committed_tree(tmp_path / "outer")
        inner = small_tree(tmp_path / "outer" / "inner")
        assert tree.inspect(str(inner)).git is None

    def test_a_checkout_that_git_cannot_read(self, tmp_path: Path) -> None:
        root = small_tree(tmp_path / "tree")
        (root / ".git").write_text("gitdir: /nowhere\n")
        assert ", git cannot read it, version " in tree.inspect(str(root)).describe()

    def test_what_the_core_does_not_take_is_no_part_of_it(self, tmp_path: Path) -> None:
        root = small_tree(tmp_path / "tree")
        before = tree.inspect(str(root))
        for name in (f"{ATEN}/native/mps/operations/Linear.mm", f"{ATEN}/native/Linear.cpp", "setup.py"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("int other;\n")
        assert tree.inspect(str(root)).content == before.content
        (root / ATEN / "native/mps/operations/Copy.mm").write_text("int copy;\n")
        (root / ATEN / "mps/MPSNew.mm").write_text("int new_file;\n")
        after = tree.inspect(str(root))
        assert {f"{ATEN}/native/mps/operations/Copy.mm", f"{ATEN}/mps/MPSNew.mm"} == (
            set(after.sources) - set(before.sources)
        )


class TestInGit:
    def test_unmodified(self, tmp_path: Path) -> None:
        root = committed_tree(tmp_path / "tree")
        head = run_git(root, "rev-parse", "HEAD")
        found = tree.inspect(str(root))
        assert tree.device_text(found) == (
            f"core (ATen/mps of {root} at {head[:7]}, unmodified, on simulated Metal; "
            "kernels are torch's CPU kernels)"
        )
        assert found.patch is None
        assert found.to_data()["commit"] == head

    def test_what_differs_from_the_commit_is_named(self, tmp_path: Path) -> None:
        root = committed_tree(tmp_path / "tree")
        with (root / STREAM).open("a") as file:
            file.write("// mine\n")
        (root / ATEN / "mps/MPSNew.mm").write_text("int new_file;\n")
        (root / ATEN / "mps/MPSDevice.h").unlink()
        (root / "README.md").write_text("not a part of the core\n")
        found = tree.inspect(str(root))
        assert ", modified: MPSDevice.h, MPSNew.mm, MPSStream.mm" in found.describe()
        assert "unmodified" not in found.describe()
        first = found.patch
        (root / ATEN / "mps/MPSNew.mm").write_text("int newer_file;\n")
        assert first != tree.inspect(str(root)).patch is not None
        run_git(root, "add", ".")
        assert tree.inspect(str(root)).git == found.git  # staged or not is the same

    def test_many_changes_are_counted(self, tmp_path: Path) -> None:
        root = committed_tree(tmp_path / "tree")
        for number in range(5):
            (root / ATEN / f"mps/New{number}.mm").write_text("")
        assert tree.inspect(str(root)).describe().endswith("modified: New0.mm, New1.mm, New2.mm and 2 more")

    def test_git_variables_of_a_hook_do_not_lead_elsewhere(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root, other = committed_tree(tmp_path / "tree"), committed_tree(tmp_path / "other")
        run_git(other, "commit", "--quiet", "--allow-empty", "--message=more")
        head = run_git(root, "rev-parse", "HEAD")
        monkeypatch.setenv("GIT_DIR", str(other / ".git"))
        state = tree.inspect(str(root)).git
        assert state is not None
        assert state.commit == head


class TestHalfApplied:
    def halves(self, root: Path) -> tuple[str, ...]:
        found = tree.inspect(str(root))
        assert "HALF-APPLIED" in found.describe()
        with pytest.raises(
            OptionError, match=r"a patch or merge in it is half-applied: .*: finish it or undo it"
        ):
            tree.require_sound(found)
        return found.half_applied

    def test_rejected_hunks(self, tmp_path: Path) -> None:
        root = small_tree(tmp_path / "tree")
        (root / f"{STREAM}.rej").write_text("@@ -1 +1 @@\n")
        assert self.halves(root) == (f"{STREAM}.rej (rejected hunks)",)

    def test_conflict_markers(self, tmp_path: Path) -> None:
        root = small_tree(tmp_path / "tree")
        (root / STREAM).write_text("int a;\n<<<<<<< HEAD\nint b;\n=======\nint c;\n>>>>>>> theirs\n")
        assert self.halves(root) == (f"{STREAM}:2 (conflict marker)",)

    def test_a_merge_that_is_not_finished(self, tmp_path: Path) -> None:
        root = committed_tree(tmp_path / "tree")
        run_git(root, "checkout", "--quiet", "-b", "theirs")
        (root / STREAM).write_text("// theirs\n")
        run_git(root, "commit", "--quiet", "--all", "--message=theirs")
        run_git(root, "checkout", "--quiet", "main")
        (root / STREAM).write_text("// ours\n")
        run_git(root, "commit", "--quiet", "--all", "--message=ours")
        run_git(root, "merge", "theirs")
        assert self.halves(root) == (f"{STREAM}:1 (conflict marker)",)
        (root / STREAM).write_text("// both, but not added\n")
        assert self.halves(root) == (f"{STREAM} (unmerged in git)",)

    def test_a_sound_tree_passes(self, tmp_path: Path) -> None:
        tree.require_sound(tree.inspect(str(small_tree(tmp_path / "tree"))))
