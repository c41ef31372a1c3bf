"""The environment variables of a record that are set again: those on a list, with harmless values, and no others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import MutableMapping
from dataclasses import dataclass
from dataclasses import field

from stress.commands.replay.find import shown

# Switches of Metal, of the MPS backend and of allocators. None names a file or a library: a record that could set
# DYLD_INSERT_LIBRARIES, PYTHONPATH or the folder that the simulated device is loaded from would be a program.
ALLOWED = frozenset(
    (
        "MTL_DEBUG_LAYER",
        "MTL_DEBUG_LAYER_ERROR_MODE",
        "MTL_DEBUG_LAYER_WARNING_MODE",
        "MTL_DEBUG_LAYER_VALIDATE_UNRETAINED_RESOURCES",
        "MTL_SHADER_VALIDATION",
        "MTL_SHADER_VALIDATION_FAIL_MODE",
        "MTL_SHADER_VALIDATION_REPORT_TO_STDERR",
        "METAL_DEVICE_WRAPPER_TYPE",
        "METAL_DEBUG_ERROR_MODE",
        "MPS_DISABLE_ENCODING_MUTEX",
        "MPS_ENABLE_COMMIT_AND_CONTINUE",
        "MPS_FORCE_GRAPH_PATH",
        "MPS_STREAM_POOL_WAIT_TIMEOUT_MS",
        "MPS_STRESS_METAL",
        "MPS_STRESS_SEQUENCES",
        "MPS_USE_AGX_SWIZZLE_FIX",
        "PYTORCH_CUDA_ALLOC_CONF",
        "PYTORCH_DEBUG_MPS_ALLOCATOR",
        "PYTORCH_ENABLE_MPS_FALLBACK",
        "PYTORCH_MPS_FAST_MATH",
        "PYTORCH_MPS_HIGH_WATERMARK_RATIO",
        "PYTORCH_MPS_LOW_WATERMARK_RATIO",
        "PYTORCH_MPS_PREFER_METAL",
        "PYTORCH_NO_CUDA_MEMORY_CACHING",
        "MallocCheckHeapEach",
        "MallocCheckHeapStart",
        "MallocGuardEdges",
        "MallocPreScribble",
        "MallocScribble",
        "OBJC_DISABLE_INITIALIZE_FORK_SAFETY",
        "KMP_DUPLICATE_LIB_OK",
        "MKL_NUM_THREADS",
        "OMP_NUM_THREADS",
        "CUDA_LAUNCH_BLOCKING",
        "CUDA_VISIBLE_DEVICES",
    )
)
_VALUE = re.compile(r"[A-Za-z0-9_.,:;=+-]{0,100}")


@dataclass
class Changes:
    """What has to change in this process's environment, and what of the record is left alone."""

    set: dict[str, str] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def apply(self, environ: MutableMapping[str, str]) -> None:
        """Change the environment that child processes will inherit."""
        environ.update(self.set)
        for name in self.remove:
            del environ[name]

    @property
    def sentences(self) -> list[str]:
        """Return what a person should know."""
        lines = []
        if self.set:
            lines.append(
                "set as recorded: " + ", ".join(f"{name}={value}" for name, value in self.set.items())
            )
        if self.remove:
            lines.append("removed, since the record has none: " + ", ".join(self.remove))
        if self.refused:
            names = ", ".join(shown(name, 60) for name in self.refused[:10])
            lines.append(f"NOT set again (not on the allow-list for records): {names}")
        return lines


def plan(recorded: Mapping[str, str], environ: Mapping[str, str]) -> Changes:
    """Return how to get from `environ` to what was recorded, as far as the list goes."""
    changes = Changes()
    for name, value in recorded.items():
        if environ.get(name) == value:
            continue
        if name in ALLOWED and _VALUE.fullmatch(value):
            changes.set[name] = value
        else:
            changes.refused.append(name)
    changes.remove = sorted(name for name in ALLOWED if name in environ and name not in recorded)
    return changes
