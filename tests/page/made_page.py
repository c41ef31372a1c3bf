"""Runs with something in every section of a page."""

from __future__ import annotations

from pathlib import Path

from tests.made_records import CRASH
from tests.made_records import FORK
from tests.made_records import MAC
from tests.made_records import Made
from tests.made_records import simulated

LINEAR = "scenarios/linear.py::SharedLinear[float32-t{}]"
NORM = "scenarios/layer_norm.py::SharedLayerNorm[float16-t{}]"
POOL = "scenarios/streams.py::BeyondCapacity[t33]"
CANARY = "scenarios/canary.py::LostUpdate[t8]"
STACKS = """Thread 0x0000700001234000 (most recent call first):
  File "/x/scenarios/linear.py", line 31 in step
  File "/x/stress/child/crew.py", line 200 in _run

Current thread 0x0000700001230000 (most recent call first):
  File "/x/stress/child/crew.py", line 310 in join
"""


def write_runs(folder: Path) -> Path:
    """Write three nights on one Mac with two builds, one on another, a simulated run and a throughput run."""
    for night in range(3):
        _night(folder / f"2026-11-1{night}T0100Z-m2pro-aaaa", night, FORK if night == 2 else {})
    other = {**MAC, "chip": "Apple M4", "host": "studio", "macos": {"version": "15.5", "build": "24F74"}}
    _night(folder / "2026-11-13T0100Z-studio-bbbb", 0, {}, environment=other)
    sim = Made(folder / "2026-11-13T0200Z-vm-cccc", **simulated())
    sim.attempts("scenarios/batch_queue.py::ThroughBatchQueue[t8]", {"pass": 20})
    sim.end()
    _throughput(folder / "2026-11-13T0300Z-m2pro-dddd")
    return folder


def _night(folder: Path, night: int, torch: dict[str, object], **fields: object) -> None:
    made = Made(
        folder, time=1_795_000_000.0 + 86_400 * night, **({"torch": torch} if torch else {}), **fields
    )
    (folder / "host-1-1000-7.stderr").write_text(f"warming up\n{CRASH}\n")
    (folder / "host-1-1000-8.stacks").write_text(STACKS)
    for threads in (2, 4, 8, 16):
        failed = max(0, threads // 4 - night)
        item = LINEAR.format(threads)
        made.attempts(item, {"pass": 40 - failed}, threads)
        made.attempts(
            item, {"crash": failed}, threads, signature="metal/encoder-overlap", headline=CRASH, signal="SIGABRT",
            stderr="host-1-1000-7.stderr", stamps=[{"worker": 3, "status": "running", "iteration": 4, "phase": "step", "op": "aten::linear"}],
        )  # fmt: skip
        for _ in range(failed):
            made.attempt(item, role="control", threads=threads)
        made.attempts(NORM.format(threads), {"pass": 40}, threads)
    finding = {"name": "cross-talk", "verdict": "mismatch", "text": "12 of 64 elements are thread 3's", "thread": 1,
               "iteration": 9, "error_max": 0.31, "error_allowed": 1e-5}  # fmt: skip
    made.attempts(NORM.format(8), {"mismatch": 1}, findings=[finding])
    made.attempts(
        POOL, {"hang": 2}, threads=33, headline="no end before the deadline", stacks="host-1-1000-8.stacks"
    )
    made.attempts(POOL, {"inconclusive": 3}, threads=33, headline="not compiled")
    made.attempts(CANARY, {"race": 5})
    made.item(CANARY, "pass", 5, 5, canary=True)
    made.item("tsan/harness::pool", "pass", 3, 0, sentence="pool 8 x 50: 0 races in 3 runs; canary found")
    made.end(1)


def _throughput(folder: Path) -> None:
    made = Made(folder, command="throughput")
    for way, gain in (("threads", 0.6), ("processes", 0.5), ("batching", 0.9)):
        for count in (1, 2, 4, 8):
            for attempt in range(7):
                rate = 1000.0 * count**gain * (1 + 0.02 * ((attempt * 37) % 5 - 2))
                made.write(
                    "measurement", item=f"throughput::this::mlp::{way}-{count}", attempt=attempt, build="this",
                    workload="mlp", way=way, count=count, requests=100, seconds=0.5, rate_per_s=rate,
                    latency_p50_s=0.001, latency_p99_s=None, checking_share=0.1,
                )  # fmt: skip
    made.end()
