"""What an exception says that a thread got where memory was refused: it proves no race."""

from __future__ import annotations

import pytest
import torch

from stress.child.workload import Raised
from stress.model.verdict import Verdict


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("refused"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    ],
)
def test_refused_memory_is_oom(error: Exception) -> None:
    assert Raised.of(error).finding().verdict is Verdict.OOM


def test_any_other_failure_of_a_thread_is_a_race() -> None:
    error = RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`")
    assert Raised.of(error).finding().verdict is Verdict.RACE
