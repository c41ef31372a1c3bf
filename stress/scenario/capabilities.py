"""The capabilities of devices, by the names that `Scenario.requires` uses. Imports no torch."""

from __future__ import annotations

CAPABILITIES = {
    "streams": "explicit streams (torch.mps.Stream, torch.cuda.Stream)",
    "per_thread_streams": "a stream pool that binds a stream to each thread by itself (the fork's)",
    "stream_ids": "the current stream can be queried, and a thread with its own stream gets that one",
    "events": "events that can be recorded and waited for",
    "record_stream": "Tensor.record_stream on this device",
    "own_errors": "errors that the device finds reach the thread that made them: upstream keeps them per stream, for whoever waits",
    "index_errors": "an index behind the end is an error, at the call or when the device comes to it",
    "batch_queue": "torch.mps.BatchQueue (the fork's)",
    "release_slot": "torch.mps.release_current_thread_slot (the fork's)",
    "pinned_memory": "pinned host memory",
    "memory_limit": "a limit on the device's memory that this process can set",
    "shaders": "kernels of one's own in Metal's language (torch.mps.compile_shader)",
    "graph_path": "nn.Linear and nn.LayerNorm through MPSGraph by MPS_FORCE_GRAPH_PATH, which no other device reads",
    "cpu_fallback": "operators without a kernel of the device's own, which PYTORCH_ENABLE_MPS_FALLBACK runs on the CPU",
    "inductor": "torch.compile's own code generator for this device",
    "float64": "double precision",
    "accelerator": "a device that runs asynchronously to the host",
    "simulated": "the simulated device, where results that depend on luck elsewhere are certain",
}
"""Names for `Scenario.requires`, with what each means."""

DEVICES = ("auto", "mps", "cuda", "cpu", "sim", "core")
"""The values of `--mps-device`, and of the `--device` of a command."""

CORE_OPERATORS = ("cpu", "tree")
"""What may serve as a core's operators: torch's CPU kernels, or the tree's own."""
