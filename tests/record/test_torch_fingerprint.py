"""Which torch it is: taken from the real one in a child, compared with real checkouts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stress.record.torch_build import FEATURES
from stress.record.torch_build import check_source


@pytest.fixture(scope="module")
def installed() -> dict[str, Any]:
    program = "import json, stress.record.torch_build as t; print(json.dumps(t.fingerprint()))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_it_names_the_installed_build(installed: dict[str, Any]) -> None:
    assert Path(installed["file"]).name == "__init__.py"
    assert installed["version"]
    assert installed["git"] is None or len(installed["git"]) == 40
    extension = installed["extension"]
    status = Path(extension["file"]).stat()
    assert (extension["bytes"], extension["modified"]) == (status.st_size, status.st_mtime)
    assert installed["num_threads"] >= 1
    assert installed["mps_available"] <= installed["mps_built"]


def test_features_are_found_by_looking(installed: dict[str, Any]) -> None:
    assert set(installed["features"]) == set(FEATURES)
    assert installed["features"]["torch.mps.Event"] is True
    assert installed["features"]["torch.Tensor.record_stream"] is True
    # Fork and upstream both have public streams or none of them: a half would be a broken lookup.
    streams = {
        name: installed["features"][f"torch.mps.{name}"]
        for name in ("Stream", "current_stream", "set_stream")
    }
    assert len(set(streams.values())) == 1


def commit(folder: Path, text: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    git = ["git", *identity, "-C", str(folder)]
    (folder / "torch" / "csrc").mkdir(exist_ok=True, parents=True)
    subprocess.run([*git, "init", "--quiet"], check=True)
    (folder / "torch" / "csrc" / "MPSStream.mm").write_text(text)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", text], check=True)
    return subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()


class TestCheckSource:
    def test_the_build_of_a_clean_tree(self, tmp_path: Path) -> None:
        head = commit(tmp_path / "pytorch", "one")
        assert check_source({"git": head, "file": "/x/torch"}, tmp_path / "pytorch") == []

    def test_another_commit(self, tmp_path: Path) -> None:
        old = commit(tmp_path / "pytorch", "one")
        new = commit(tmp_path / "pytorch", "two")
        (mismatch,) = check_source({"git": old, "file": "/x/torch"}, tmp_path / "pytorch")
        assert old in mismatch
        assert new in mismatch
        assert "/x/torch" in mismatch

    def test_a_dirty_tree(self, tmp_path: Path) -> None:
        head = commit(tmp_path / "pytorch", "one")
        (tmp_path / "pytorch" / "torch" / "csrc" / "MPSStream.mm").write_text("a change that no commit names")
        (tmp_path / "pytorch" / "build.log").write_text("untracked files are not sources")
        (mismatch,) = check_source({"git": head, "file": "/x"}, tmp_path / "pytorch")
        assert "uncommitted changes (1 file)" in mismatch

    @pytest.mark.parametrize("built", [None, "", "Unknown", 7])
    def test_a_build_that_does_not_say(self, tmp_path: Path, built: object) -> None:
        commit(tmp_path / "pytorch", "one")
        (mismatch,) = check_source({"git": built, "file": "/x"}, tmp_path / "pytorch")
        assert "does not say which commit" in mismatch

    def test_no_checkout(self, tmp_path: Path) -> None:
        for folder in (tmp_path, tmp_path / "missing"):
            (mismatch,) = check_source({"git": "a" * 40}, folder)
            assert "not a git checkout" in mismatch

    def test_a_checkout_of_something_else(self, tmp_path: Path) -> None:
        commit(tmp_path / "mine", "one")
        shutil.rmtree(tmp_path / "mine" / "torch")
        (mismatch,) = check_source({"git": "a" * 40}, tmp_path / "mine")
        assert mismatch == f"{tmp_path / 'mine'} is not PyTorch's source tree (it has no torch/csrc)"

    def test_the_installed_torch_is_no_build_of_another_tree(
        self, installed: dict[str, Any], tmp_path: Path
    ) -> None:
        commit(tmp_path / "pytorch", "one")
        assert len(check_source(installed, tmp_path / "pytorch")) == 1
