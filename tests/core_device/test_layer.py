"""The simulated Metal by itself: Apple's semantics where they decide what can be seen, and ends with a name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core_device.shaders.built import simulated_metal

RUN = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).layer_run(sys.argv[2].encode())"
TIMEOUT_S = 120.0
SITUATIONS = (
    "command_buffer_lives",
    "unretained_references",
    "commit_and_continue",
    "shared_event",
    "heap",
    "memory_limit",
    "collections",
    "block_keeps_objects",
    "block_of_a_lambda",
    "graph_casts",
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program() -> Path:
    return simulated_metal()


def _run(program: Path, situation: str, options: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN, program, situation],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, "MPS_STRESS_METAL": options},
    )


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize(
    "options", ["", "completion=delayed;delay_us=2000;seed=3", "completion=late_listener;delay_us=2000"]
)
def test_it_behaves_as_metal_does(program: Path, situation: str, options: str) -> None:
    done = _run(program, situation, options)
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


@pytest.mark.parametrize("blocks", ["caller", "elsewhere"])
def test_a_block_runs_on_the_callers_thread_or_on_another(program: Path, blocks: str) -> None:
    assert _run(program, "queue_specifics", f"blocks={blocks}").stdout == f"{blocks}\nok\n"


@pytest.mark.parametrize(
    ("version", "expected"),
    [("13", "13.0 0 0"), ("14.4", "14.4 1 0"), ("15.1", "15.1 1 1"), ("26", "26.0 1 1")],
)
def test_it_is_the_macos_that_it_is_told_to_be(program: Path, version: str, expected: str) -> None:
    assert _run(program, "macos", f"macos={version}").stdout == f"{expected}\nok\n"


@pytest.mark.parametrize(
    ("situation", "text"),
    [
        (
            "encode_after_commit",
            "setCurrentCommandEncoder:]: failed assertion `_status < MTLCommandBufferStatusCommitted'",
        ),
        ("commit_open_encoder", "commit]: failed assertion `commit command buffer with uncommitted encoder'"),
        (
            "handler_after_commit",
            "addCompletedHandler:]: failed assertion `Completed handler provided after commit call'",
        ),
        ("released_encoder", "dealloc]: failed assertion `Command encoder released without endEncoding'"),
        (
            "unknown_selector",
            "mps-stress: not simulated: -[MPSGraph transposeTensor:dimension:withDimension:name:]",
        ),
    ],
)
def test_a_broken_rule_and_an_unknown_name_end_the_process(program: Path, situation: str, text: str) -> None:
    done = _run(program, situation)
    assert text in done.stderr
    assert done.returncode == -signal.SIGABRT


@pytest.mark.parametrize("blocks", ["caller", "elsewhere"])
def test_a_queue_that_is_entered_from_itself_traps(program: Path, blocks: str) -> None:
    done = _run(program, "sync_on_own_queue", f"blocks={blocks}")
    assert "dispatch_sync called on queue already owned by current thread" in done.stderr
    assert done.returncode == -signal.SIGTRAP


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("macos=12", "macos=12: expected a version of macOS from 13 to 26, as in 14.4"),
        ("completion=never", "completion=never: expected in_order, delayed, late_listener or slow_queue"),
        ("seed=-1", "seed=-1: expected a whole number of at most"),
        ("speed=1", "unknown option 'speed=1': choose from blocks, completion"),
    ],
)
def test_an_option_that_is_unknown_or_out_of_range_is_refused(
    program: Path, options: str, problem: str
) -> None:
    done = _run(program, "macos", options)
    assert problem in done.stderr
    assert done.returncode == 2
