#!/usr/bin/env python3
"""Get a PyTorch tree for `make core` from Debian, without changing anything of the system.

    tools/fetch_pytorch.py FOLDER        # say what is downloaded, then download it; FOLDER is the tree afterwards

The tree is what upstream released, from Debian's source package, without Debian's patches; only what the core is built
from, and what its tests read, is unpacked. apt-get works with lists, cache and sources of its own below FOLDER, and
checks what it downloads against the archive's signature.

Exit status: 0 when FOLDER is the tree (also where it was already), 2 for bad input, 3 when the package cannot be had
here, with the reason in one sentence on stderr.
"""

from __future__ import annotations

import argparse
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

PACKAGE, VERSION, SUITE = "pytorch", "2.6.0+dfsg-7", "trixie"
TARBALL = "pytorch_2.6.0+dfsg.orig.tar.xz"
SIZE_MB, INDEX_MB = 27, 11
PARTS = (
    "aten/src/ATen/detail/",
    "aten/src/ATen/mps/",
    "aten/src/ATen/native/mps/",
    "aten/src/ATen/native/native_functions.yaml",
    "aten/src/ATen/test/mps_test",
    "c10/core/",
    "caffe2/core/common.h",
    "test/test_mps.py",
    "torch/csrc/mps/",
    "torch/mps/",
    "LICENSE",
    "version.txt",
)
"""What is unpacked: paths in the tree, or how they begin."""
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org/debian"
MISSING = 3
_TARGETS = ("indextargets", "--format", "$(REPO_URI)")
_ASKING_TIMEOUT_S = 60.0
_LOADING_TIMEOUT_S = 900.0
_ERROR = re.compile(r"^(?:E|W|Err:\d+): ?(?P<text>.*)$", re.MULTILINE)


class NotHad(Exception):
    """The package cannot be had here; the text is one sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="where the tree goes; it must not exist yet"
    )
    folder = parser.parse_args(arguments).folder.absolute()
    if (folder / "version.txt").is_file():
        print(f"{folder} is there already: nothing is downloaded")
        return 0
    if folder.exists():
        parser.error(f"{folder} exists and is no PyTorch tree: give another folder")
    try:
        fetch(folder)
    except NotHad as error:
        print(f"fetch_pytorch: no PyTorch tree from Debian: {error}", file=sys.stderr)
        return MISSING
    return 0


def fetch(folder: Path) -> None:
    """Make `folder` the tree; raise `NotHad`. It appears whole or not at all."""
    if shutil.which("apt-get") is None:
        raise NotHad("apt-get is missing, so this is no Debian: give a tree of your own")
    mirror = own_mirror()
    print(
        f"downloads Debian's source package {PACKAGE} {VERSION} ({SIZE_MB} MB) and the index of {SUITE}'s sources "
        f"(about {INDEX_MB} MB) from {mirror} for {folder}; nothing of the system is changed",
        flush=True,
    )
    work = folder.with_name(f"{folder.name}.fetching")
    shutil.rmtree(work, ignore_errors=True)  # of a process that was killed
    try:
        for name in ("sources", "lists/partial", "cache/archives/partial", "tree"):
            (work / name).mkdir(parents=True)
        download(work, mirror)
        unpack(work / TARBALL, work / "tree")
        os.replace(work / "tree", folder)
    except OSError as error:
        raise NotHad(f"{folder} cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(f"{folder}: the parts of PyTorch {VERSION.partition('+')[0]} that the core is built from")


def own_mirror() -> str:
    """Return the mirror that this machine's apt uses for Debian, else Debian's own."""
    try:
        asked = subprocess.run(
            ["apt-get", *_TARGETS], capture_output=True, text=True, timeout=_ASKING_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return MIRROR
    places = (line.strip().rstrip("/") for line in asked.stdout.splitlines())
    return next((one for one in places if re.fullmatch(r"(?:https?|file):/.*/debian", one)), MIRROR)


def download(work: Path, mirror: str) -> None:
    """Put the package's files into `work`; raise `NotHad` with apt's own reason."""
    signed = f"Signed-By: {KEYRING}\n" if KEYRING.is_file() else ""
    (work / "sources" / "core.sources").write_text(
        f"Types: deb-src\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\n{signed}", encoding="utf-8"
    )
    apart = {
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work / "cache",
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": work / "sources",
        "Acquire::Retries": 2,
        "Acquire::http::Timeout": 60,
        # The user _apt that root's downloads run as cannot reach a folder in root's home.
        "APT::Sandbox::User": "root",
    }
    options = [f"-o{name}={value}" for name, value in apart.items()]
    for action in (("update",), ("source", "--download-only", f"{PACKAGE}={VERSION}")):
        run_apt(["apt-get", "-q", *options, *action], work)
        # Without a network "update" reports success and has no list.
        if action == ("update",) and not any((work / "lists").glob("*Sources*")):
            raise NotHad(f"{mirror} has no index of {SUITE}'s sources in reach: is there a network?")
    if not (work / TARBALL).is_file():
        raise NotHad(f"the package has no {TARBALL}")


def run_apt(command: Sequence[str], work: Path) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_LOADING_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NotHad(f"{' '.join(command[:1])} does not run ({error})") from error
    if done.returncode:
        found = [one["text"].strip() for one in _ERROR.finditer(done.stdout)]
        raise NotHad(f"apt-get says: {found[0] if found else f'exit status {done.returncode}'}")


def unpack(tarball: Path, folder: Path) -> None:
    """Unpack the parts that are needed, without the tarball's own top folder."""
    try:
        with tarfile.open(tarball, "r:xz") as archive:
            for member in archive:
                name = member.name.partition("/")[2]
                if member.isfile() and name.startswith(PARTS):
                    archive.extract(member.replace(name=name, deep=False), folder, filter="data")
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise NotHad(f"{tarball.name} cannot be unpacked ({error})") from error
    if not (folder / "version.txt").is_file():
        raise NotHad(f"{tarball.name} has no version.txt, so it is no PyTorch tree")


if __name__ == "__main__":
    sys.exit(main())
