"""One run on two interpreters at once, `--dist=each`: a crash ends neither, and both are in the record."""

from __future__ import annotations

from stress.record.aggregate import read_folders
from tests.acceptance import RunStress

SOURCE = """
class Dies(Scenario):
    iterations = 1
    def step(self, state, x):
        if threading.current_thread().name.startswith("crew"): os.abort()
        return torch.ones(2) * stress.current().thread_index

class Lives(Scenario):
    iterations = 1
    def step(self, state, x): return torch.ones(2) * stress.current().thread_index
"""


def test_each_item_runs_on_both_and_a_crash_is_an_ordinary_failure(run_stress: RunStress) -> None:
    ran = run_stress(SOURCE, "--mps-threads=2", "--mps-attempts=1", "--dist=each", "--tx=2*popen")
    ran.result.assert_outcomes(passed=2, failed=2)
    assert ran.folder is not None
    whole = read_folders([ran.folder])
    (info,) = whole.runs.values()
    assert (info.processes, info.was_killed) == (3, False)  # xdist's controller and both workers
    counts = {cell.item.rpartition("::")[2]: (cell.failures, cell.counted) for cell in whole.cells.values()}
    assert counts == {"Dies[t2]": (2, 2), "Lives[t2]": (0, 2)}
    assert whole.problems == []
