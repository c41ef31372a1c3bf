"""One run of the plugin as a user types it."""

from __future__ import annotations

from tests.acceptance import RunStress

SCRATCH = """
class Shared(Scenario):
    def setup(self, device):
        return torch.nn.Linear(16, 16).to(device)
    def make_input(self, generator):
        return torch.randn(4, 16, generator=generator)
    def step(self, state, x):
        return state(x)

class Scratch(Scenario):
    def setup(self, device):
        return torch.zeros(64, device=device)
    def make_input(self, generator):
        return torch.randn(64, generator=generator)
    def step(self, state, x):
        state.copy_(x)
        time.sleep(0)
        return state * 2
"""


class TestARun:
    def test_names_what_is_right_and_what_is_wrong(self, run_stress: RunStress) -> None:
        ran = run_stress(SCRATCH, "--mps-attempts=2", "-v")
        ran.result.assert_outcomes(passed=1, failed=1)
        assert ran.items["Shared[t4]"]["verdict"] == "pass"
        assert ran.items["Scratch[t4]"]["verdict"] == "mismatch"
        assert ran.items["Scratch[t4]"]["failures"] == 2
        assert ran.items["Scratch[t4]"]["control_failures"] == 0
        ran.result.stdout.fnmatch_lines(
            [
                "mps: threads 4, attempts 2, seed 0x*",
                "*subject.py::Shared?t4? PASSED*",
                "*subject.py::Scratch?t4? MISMATCH*",
                "Scratch?t4?: MISMATCH in 2 of 2 attempts (100.0 %, 95 % interval 13.7-100.0 %)",
                "  control: one thread, same total work: 0 of 2 failed",
                "*cross-talk*another iteration's right value*",
                "  repeat: pytest 'scenarios/subject.py::Scratch?t4?' --mps-threads=4 --mps-seed=0x*",
            ]
        )
        assert (
            "1 item: 0 of 2 attempts failed; a failure rate below 77.6 % cannot be excluded (95 %)"
            in ran.text
        )
