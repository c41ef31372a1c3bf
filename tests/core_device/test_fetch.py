"""`tools/fetch_pytorch.py` with a stand-in for apt-get: what it asks for, what it leaves, and how it says that it cannot."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from tools import fetch_pytorch
from tools.fetch_pytorch import TARBALL

STREAM = "aten/src/ATen/mps/MPSStream.mm"
APT = """#!/bin/sh
for last; do :; done
case "$*" in
  *indextargets*) echo "https://security.example.org/debian-security/"; echo "http://mirror.example.org/debian/"; exit 0;;
esac
echo "$@" >> "{log}"
for one; do case $one in
  -oDir::State::Lists=*) lists=${{one#*=}};;
  -oDir::Etc::SourceParts=*) cat "${{one#*=}}"/*.sources >> "{log}";;
esac; done
case "$*" in
  *update) {update};;
  *) {source};;
esac
"""


class Apt:
    """A program apt-get on PATH that does what a test says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.log = folder, folder / "log"
        self.tarball = folder / "made.tar.xz"
        (folder / "bin").mkdir()
        monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
        self.does()

    def does(self, update: str = "", source: str = "") -> None:
        program = self.folder / "bin" / "apt-get"
        text = APT.format(
            log=self.log,
            update=update or 'touch "$lists/mirror_Sources.lz4"',
            source=source or f"cp '{self.tarball}' {TARBALL}",
        )
        program.write_text(text)
        program.chmod(0o755)

    def has(self, **files: str) -> None:
        with tarfile.open(self.tarball, "w:xz") as archive:
            for name, text in files.items():
                member = tarfile.TarInfo(f"pytorch-v2.6.0/{name}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Apt:
    (tmp_path / "apt").mkdir()
    made = Apt(tmp_path / "apt", monkeypatch)
    made.has(**{"version.txt": "2.6.0a0\n", STREAM: "int stream;\n", "aten/src/ATen/native/Linear.cpp": "no"})
    return made


def test_the_tree_is_there_and_nothing_else(
    apt: Apt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "trees" / "pytorch"
    assert fetch_pytorch.main([str(tree)]) == 0
    found = sorted(str(one.relative_to(tree)) for one in tree.rglob("*") if one.is_file())
    assert found == [STREAM, "version.txt"]
    assert list(tree.parent.iterdir()) == [tree]
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("downloads Debian's source package pytorch 2.6.0+dfsg-7 (27 MB)")
    asked = apt.log.read_text()
    assert "source --download-only pytorch=2.6.0+dfsg-7" in asked
    assert "Types: deb-src\nURIs: http://mirror.example.org/debian\nSuites: trixie\n" in asked
    for place in ("Dir::State::Lists", "Dir::Cache"):
        assert f"-o{place}={tree}.fetching/" in asked
    assert "-oDir::Etc::SourceList=/dev/null" in asked


def test_a_second_time_nothing_is_downloaded(apt: Apt, tmp_path: Path) -> None:
    assert fetch_pytorch.main([str(tmp_path / "tree")]) == 0
    apt.log.unlink()
    assert fetch_pytorch.main([str(tmp_path / "tree")]) == 0
    assert not apt.log.exists()


def refused(tree: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one sentence on stderr; nothing is left behind."""
    assert fetch_pytorch.main([str(tree)]) == fetch_pytorch.MISSING
    assert not tree.exists()
    assert not list(tree.parent.glob("*.fetching"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fetch_pytorch: no PyTorch tree from Debian: ")
    return line


def test_no_network(apt: Apt, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apt.does(update="echo 'W: Failed to fetch http://mirror.example.org/'")
    assert "has no index of trixie's sources in reach: is there a network?" in refused(
        tmp_path / "tree", capsys
    )


def test_no_such_package(apt: Apt, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apt.does(source="echo 'E: Unable to find a source package for pytorch'; exit 100")
    assert refused(tmp_path / "tree", capsys).endswith(
        "apt-get says: Unable to find a source package for pytorch"
    )


def test_a_damaged_tarball(apt: Apt, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apt.tarball.write_bytes(apt.tarball.read_bytes()[:100])
    assert f"{TARBALL} cannot be unpacked" in refused(tmp_path / "tree", capsys)


def test_a_tarball_of_something_else(apt: Apt, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    apt.has(**{"setup.py": ""})
    assert "has no version.txt" in refused(tmp_path / "tree", capsys)


def test_no_debian(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get is missing, so this is no Debian" in refused(tmp_path / "tree", capsys)


def test_a_folder_that_cannot_be_written(
    apt: Apt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert fetch_pytorch.main([str(tmp_path / "file" / "tree")]) == fetch_pytorch.MISSING
    assert "file/tree cannot be written (Not a directory)" in capsys.readouterr().err


def test_a_folder_with_something_else_is_left_alone(apt: Apt, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(SystemExit) as caught:
        fetch_pytorch.main([str(tmp_path / "mine")])
    assert caught.value.code == 2
    assert (tmp_path / "mine").read_text() == "mine"
    assert not apt.log.exists()
