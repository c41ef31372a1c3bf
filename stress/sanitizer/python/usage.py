"""What `--mps-tsan` does not go together with. Imports nothing of the framework: options are read in every pytest run."""

from __future__ import annotations


def conflict(*, device: str, isolation: bool, all_tests: bool, schedule: str) -> str | None:
    """Return why the options cannot be used with ThreadSanitizer and what to do; None where they can."""
    if device not in ("auto", "sim"):
        return (
            f"this is for the simulated device alone, not for {device}, whose code is not instrumented: "
            "use --mps-device=sim"
        )
    if not isolation:
        return "the runtime is preloaded into child processes: leave out --mps-no-isolation and --pdb"
    if all_tests:
        return "ordinary tests run in the pytest process, which is not under ThreadSanitizer: leave out --mps-all-tests"
    if schedule != "free":
        return (
            f"--mps-sim-schedule={schedule} lets one thing run at a time, in an order that ThreadSanitizer sees, so that "
            "nothing could race: leave one of them out"
        )
    return None
