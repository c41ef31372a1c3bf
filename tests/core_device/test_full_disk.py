"""A disk that is full in the middle of a build: really full, with the real compiler, on a file system of about one MiB."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.device.torch_installation import find_torch
from tests.core_device.trees import small_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a core is for Linux")
ROOT = Path(__file__).parents[2]
TIMEOUT_S = 800.0
NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
"""A file system that is mounted in it is nobody else's, and goes with it. Needs no rights, but a kernel that allows it."""
MOUNTED = 'mount -t tmpfs -o size=1200k none "$MPS_STRESS_CACHE" && exec "$PYTHON" -c "$BUILD" "$TREE"'
# The layer's plain C++ units alone: they compile in seconds, and their objects do not fit all the same. Without a precompiled
# header, which would not fit to begin with.
BUILD = """
import subprocess, sys
from pathlib import Path
from stress.commands import cli
from stress.device import cache
from stress.device.core import compile, sources, units
units._precompiled_for = lambda source: None
compile.LAYER, compile.GLUE, compile.NATIVE = ("simulated_metal/*.cpp", compile._OWN_RUNTIME), (), ()
sources.core_sources = sources.python_sources = lambda tree: []
status = cli.main(["core", "build", f"--pytorch={sys.argv[1]}"])
folder = cache.cache_folder()
print("left", *sorted(one.name for one in folder.iterdir() if one.suffix not in (".lock", ".json")))
for one in (folder / "core-objects").iterdir():
    print("kept", subprocess.run(["nm", one], stdout=subprocess.DEVNULL).returncode)
sys.exit(status)
"""


def test_is_a_sentence_and_leaves_nothing_half_built(tmp_path: Path) -> None:
    try:
        find_toolchain()
    except ToolchainError as error:
        pytest.skip(str(error))
    if shutil.which("unshare") is None or subprocess.run([*NAMESPACE, "true"], check=False).returncode:
        pytest.skip("no user namespaces: a small file system cannot be mounted")
    version = ".".join(find_torch().version.split(".")[:2]) + ".0a0"
    tree, cache = small_tree(tmp_path / "tree", version), tmp_path / "cache"
    cache.mkdir()
    done = subprocess.run(
        [*NAMESPACE, "sh", "-c", MOUNTED],
        env={
            "PATH": "/usr/bin:/bin",
            "MPS_STRESS_CACHE": str(cache),
            "PYTHON": sys.executable,  # whose path may have a space
            "BUILD": BUILD,
            "TREE": str(tree),
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    print(done.stdout, done.stderr, sep="\n")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "mps-stress core: the core cannot be built: the disk is full (No space left on device): make room, or set "
        "MPS_STRESS_CACHE to a folder on another disk"
    )
    assert "left core-objects\n" in done.stdout
    kept = [line for line in done.stdout.splitlines() if line.startswith("kept ")]
    assert set(kept) == {"kept 0"}, "the disk was full before the middle, or an object file is not whole"
