"""Environment variables that change what is being tested, and what each one does.

Meanings are from Apple's `man MetalValidation` and `man malloc`, PyTorch's documentation of MPS variables, and
public threads that used them; where only a fork's documents name a variable, the text says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from stress.commands.doctor.check import CheckResult
from stress.commands.doctor.check import Status
from stress.record.machine import environment_variables

SECTION = "environment"
VALUE_CHARS_MAX = 60


class Switch(NamedTuple):
    """One variable, or a family of them."""

    pattern: re.Pattern[str]
    meaning: str
    hides: str = ""
    """What it hides or spoils: results taken under it are a warning."""


def _switch(pattern: str, meaning: str, hides: str = "") -> Switch:
    return Switch(re.compile(pattern), meaning, hides)


# The first match counts: a family stands behind its members.
SWITCHES = (
    _switch(r"MTL_DEBUG_LAYER", "Metal API validation: misuse aborts with a text; it changes timing"),
    _switch(r"MTL_DEBUG_LAYER_(ERROR|WARNING)_MODE", "what Metal's validation does on a finding (assert, ignore, nslog)"),
    _switch(r"MTL_DEBUG_LAYER_VALIDATE_UNRETAINED_RESOURCES", "Metal's validation watches resources freed too early"),
    _switch(r"MTL_DEBUG_LAYER_.*", "part of Metal's API validation"),
    _switch(r"MTL_SHADER_VALIDATION", "shader validation: finds accesses out of bounds on the GPU; slow"),
    _switch(r"MTL_SHADER_VALIDATION_.*", "part of Metal's shader validation"),
    _switch(r"MTL_CAPTURE_ENABLED", "allows captures of the GPU's work (.gputrace)"),
    _switch(r"MTL_HUD_ENABLED", "Metal's performance display"),
    _switch(r"METAL_DEVICE_WRAPPER_TYPE", "older spelling of MTL_DEBUG_LAYER"),
    _switch(r"METAL_(DEBUG_)?ERROR_MODE", "older spelling of MTL_DEBUG_LAYER_ERROR_MODE"),
    _switch(r"PYTORCH_ENABLE_MPS_FALLBACK", "ops that MPS lacks run on the CPU, with a wait and copies", "races between ops"),
    _switch(r"PYTORCH_MPS_HIGH_WATERMARK_RATIO", "memory limit of MPS; 0.0 is none, and can take the machine down"),
    _switch(r"PYTORCH_MPS_LOW_WATERMARK_RATIO", "above it MPS commits early and collects garbage"),
    _switch(r"PYTORCH_MPS_FAST_MATH", "fast math in Metal kernels: other values"),
    _switch(r"PYTORCH_MPS_PREFER_METAL", "Metal kernels instead of MPSGraph for matmul"),
    _switch(r"PYTORCH_MPS_(TRACE_SIGNPOSTS|LOG_PROFILE_INFO)", "profiles every op", "races: the profiler changes timing"),
    _switch(r"PYTORCH_DEBUG_MPS_ALLOCATOR", "logs every allocation; changes timing"),
    _switch(r"PYTORCH_NO_MPS_MEMORY_CACHING", "no memory is reused", "everything that needs a reused buffer"),
    _switch(r"PYTORCH_TESTING_DEVICE_.*", "chooses devices for PyTorch's own tests"),
    _switch(r"PYTORCH_.*", "read by PyTorch; meaning unknown"),
    _switch(r"MPS_FORCE_GRAPH_PATH", "Linear and LayerNorm through MPSGraph (fork)"),
    _switch(r"MPS_ENABLE_COMMIT_AND_CONTINUE", "commits without a new command buffer (fork: stream 0 alone)"),
    _switch(r"MPS_STREAM_POOL_WAIT_TIMEOUT_MS", "a worker without a free stream: 0 raises, -1 waits (fork)"),
    _switch(r"MPS_DISABLE_ENCODING_MUTEX", "removes the encoding lock: expect crashes (fork)"),
    _switch(r"MPS_(USE_AGX_SWIZZLE_FIX|TESTS_.*|TEST_.*)", "of earlier scripts; not read here"),
    _switch(r"MPS_STRESS_.*", "of this framework: where builds are kept, how the simulated device is registered"),
    _switch(r"MPS_.*", "read by an MPS backend; meaning unknown"),
    _switch(r"MallocScribble", "freed memory is overwritten with 0x55: use after free shows"),
    _switch(r"MallocPreScribble", "new memory is filled with 0xAA: reading it unwritten shows"),
    _switch(r"MallocGuardEdges", "guard pages around large blocks"),
    _switch(r"MallocCheckHeap(Start|Each|Sleep|Abort)", "checks the heap every so many calls; slow"),
    _switch(r"MallocStackLogging(NoCompact)?", "keeps the stack of every allocation; slow"),
    _switch(r"Malloc.*", "changes the allocator of macOS"),
    _switch(r"OBJC_DISABLE_INITIALIZE_FORK_SAFETY", "Objective-C's check after fork is off", "aborts after fork"),
    _switch(r"OBJC_.*", "debugging of the Objective-C runtime"),
    _switch(r"NSZombieEnabled", "messages to freed Objective-C objects abort with a text; nothing is ever freed"),
    _switch(r"KMP_DUPLICATE_LIB_OK", "two OpenMP runtimes are tolerated", "a cause of hangs (pytorch#193520)"),
    _switch(r"(OMP|MKL)_NUM_THREADS", "threads of CPU ops; the crew's own are set to 1"),
    _switch(r"(OMP|MKL|KMP)_.*", "settings of CPU threading"),
    _switch(r"CUDA_LAUNCH_BLOCKING", "every CUDA op waits for its end", "almost every race on CUDA"),
    _switch(r"CUDA_VISIBLE_DEVICES", "which CUDA devices torch sees"),
    _switch(r"CUDA_.*", "settings of CUDA"),
    _switch(r"TORCH_.*", "settings of PyTorch"),
    _switch(r"DYLD_INSERT_LIBRARIES", "libraries injected into every child; system binaries (bash) drop it"),
    _switch(r"DYLD_.*", "changes what the dynamic linker loads"),
)  # fmt: skip

_ALSO = re.compile(r"DYLD_\w+|NSZombieEnabled")


def switch_lines(environ: Mapping[str, str]) -> list[CheckResult]:
    """Return a line per variable in force; variables that smell of a secret are left out."""
    found = environment_variables(environ)
    found |= {name: environ[name] for name in sorted(environ) if _ALSO.fullmatch(name)}
    if not found:
        return [
            CheckResult(
                SECTION,
                "switches",
                Status.OK,
                "none of MTL_*, PYTORCH_*, MPS_*, Malloc* and their like is set",
            )
        ]
    return [_line(name, value) for name, value in found.items()]


def _line(name: str, value: str) -> CheckResult:
    shown = repr(value)[1:-1]
    shown = shown if len(shown) <= VALUE_CHARS_MAX else f"{shown[: VALUE_CHARS_MAX - 3]}..."
    switch = next((one for one in SWITCHES if one.pattern.fullmatch(name)), None)
    meaning = switch.meaning if switch is not None else "meaning unknown"
    if switch is None or not switch.hides:
        return CheckResult(SECTION, f"{name}={shown}", Status.OK, meaning)
    return CheckResult(
        SECTION, f"{name}={shown}", Status.WARNING, f"{meaning}; it hides {switch.hides}", f"unset {name}"
    )
