"""Where records go: made once, refused clearly, and never left through a side file's name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stress.record import RecordError
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import run_id


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "results" / "runs", run_id())


class TestUnwritable:
    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "runs").write_text("")
        with pytest.raises(RecordError, match=r"runs.*cannot write: .* --results=DIR") as caught:
            RunFolder.create(tmp_path / "runs", run_id())
        assert "folder with --mps-results=DIR" in caught.value.told("--mps-")

    def test_a_run_that_exists(self, tmp_path: Path) -> None:
        RunFolder.create(tmp_path, "run")
        with pytest.raises(RecordError, match="File exists"):
            RunFolder.create(tmp_path, "run")

    def test_a_folder_that_went_away(self, folder: RunFolder) -> None:
        folder.path.rmdir()
        with pytest.raises(RecordError, match="No such file"):
            folder.probe()
        with pytest.raises(RecordError, match="No such file"):
            RecordWriter(folder)
        with pytest.raises(RecordError, match="no such folder"):
            RunFolder.open(folder.path)

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
    def test_a_folder_that_takes_no_files(self) -> None:
        # Root ignores permissions, procfs does not ask for them.
        with pytest.raises(RecordError, match="cannot write"):
            RunFolder(Path("/proc/self")).probe()

    @pytest.mark.parametrize(
        "name", ["../x", "a/b", "/etc/passwd", "..", "", "a\0b", ".hidden", "a..b", "x.jsonl", "y" * 999]
    )
    def test_side_files_stay_in_the_folder(self, folder: RunFolder, name: str) -> None:
        with pytest.raises(RecordError, match="side file"):
            folder.side(name)
