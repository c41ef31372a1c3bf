"""What a record says about its machine, and what it must never say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stress.record.machine import environment_variables
from stress.record.machine import git_state
from stress.record.machine import host_environment
from stress.record.machine import output_of


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", *identity, "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "file").write_text("1")
    git(folder, "add", "file")
    git(folder, "commit", "--quiet", "-m", "first")
    return folder


def test_it_is_json_and_names_the_machine() -> None:
    environment = host_environment(Path(__file__).parent)
    assert json.loads(json.dumps(environment, allow_nan=False)) == environment
    python = environment["python"]
    assert isinstance(python, dict)
    assert python["executable"] == sys.executable
    memory_bytes = environment["memory_bytes"]
    assert isinstance(memory_bytes, int)
    assert memory_bytes > 2**28
    assert environment["cpu_count"] == os.cpu_count()
    assert (environment["macos"] is None) == (sys.platform != "darwin")


def test_without_git_and_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert host_environment(tmp_path)["git"] is None
    assert output_of("no-such-tool") is None


def test_commit_and_dirtiness(checkout: Path, tmp_path: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert git_state(checkout) == {"commit": head, "dirty": False}
    (checkout / "new").write_text("untracked files may be scenarios")
    assert git_state(checkout) == {"commit": head, "dirty": True}
    (tmp_path / "plain").mkdir()
    assert git_state(tmp_path / "plain") is None
    assert git_state(tmp_path / "missing") is None


def test_a_strangers_checkout_starts_no_program(checkout: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch '{proof}'\n")
    monitor.chmod(0o755)
    git(checkout, "config", "core.fsmonitor", str(monitor))
    git(checkout, "status")
    assert proof.exists(), "the trap does not work, so this test proves nothing"
    proof.unlink()
    git_state(checkout)
    assert not proof.exists()


@pytest.mark.parametrize("command", [("false",), ("sleep", "60"), ("/",)])
def test_tools_that_fail_or_block_tell_nothing(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stress.record.machine.COMMAND_TIMEOUT_S", 0.05)
    assert output_of(*command) is None


def test_only_listed_variables_and_no_secrets() -> None:
    kept = {
        "MTL_DEBUG_LAYER": "1",
        "METAL_DEVICE_WRAPPER_TYPE": "1",
        "PYTORCH_ENABLE_MPS_FALLBACK": "1",
        "MPS_FORCE_GRAPH_PATH": "1",
        "MallocScribble": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TORCH_SHOW_CPP_STACKTRACES": "1",
        "KMP_DUPLICATE_LIB_OK": "TRUE",
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
        "CUDA_LAUNCH_BLOCKING": "1",
    }
    left_out = {
        "HOME": "/Users/x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "TORCH_HUB_TOKEN": "x",
        "MPS_API_KEY": "x",
        "PYTORCH_PASSWORD": "x",
        "MTL_auth": "x",
        "XMPS_A": "1",
        "PATH": "/bin",
        "DYLD_INSERT_LIBRARIES": "/x",
    }
    assert environment_variables({**kept, **left_out}) == kept
    assert environment_variables({"MPS_KEYBOARD": "1"}) == {"MPS_KEYBOARD": "1"}
    assert len(environment_variables({"MPS_LONG": "x" * 10**6})["MPS_LONG"]) == 1000


def test_the_parents_modules_do_not_import_torch() -> None:
    program = (
        "import sys, stress.record, stress.record.torch_build, stress.diagnose, stress.model.stats\n"
        "stress.record.host_environment(); stress.diagnose.load_signatures()\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('torch', 'numpy', 'scipy')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "[]\n"
