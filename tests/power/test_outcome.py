"""What counts as a kill: the declared verdict alone; the name is told apart."""

from __future__ import annotations

from typing import Any

import pytest

from stress.commands.power.outcome import Kind
from stress.commands.power.outcome import Outcome
from stress.commands.power.outcome import classify
from stress.commands.power.subject import Subject
from stress.commands.power.tally import Count
from stress.device.sim.zoo import BY_NAME

VALUE = BY_NAME["linear_shared_scratch"]
CRASH = BY_NAME["commit_twice"]
HANG = BY_NAME["lock_order_inversion"]
LEAK = BY_NAME["pool_slot_leak"]


def end(verdict: str, *names: str, **fields: Any) -> dict[str, Any]:
    """Return the fields of an end record, with one finding of this verdict per name."""
    return {"verdict": verdict, "findings": [{"verdict": verdict, "name": name} for name in names], **fields}


class TestKills:
    def test_a_wrong_value_with_its_name(self) -> None:
        outcome = classify(VALUE, end("mismatch", "torn", "numeric"), {})
        assert outcome == Outcome(Kind.KILL, "mismatch", "torn", True)

    def test_a_crash_is_named_by_its_signature(self) -> None:
        outcome = classify(CRASH, end("crash", signature="metal/double-commit", signal="SIGABRT"), {})
        assert outcome == Outcome(Kind.KILL, "crash", "metal/double-commit", True)

    def test_a_crash_without_its_text_is_a_kill_under_a_wrong_name(self) -> None:
        outcome = classify(CRASH, end("crash", signature=None, signal="SIGABRT"), {})
        assert outcome == Outcome(Kind.KILL, "crash", "SIGABRT", False)

    def test_a_signal_that_is_declared_is_right_beside_any_signature(self) -> None:
        fault = BY_NAME["encoder_released"]
        outcome = classify(fault, end("crash", signature="process/exit-crash", signal="SIGSEGV"), {})
        assert outcome.right_name

    def test_a_hang_is_called_a_hang(self) -> None:
        assert classify(HANG, end("hang"), {}) == Outcome(Kind.KILL, "hang", "hang", True)

    def test_an_exception_with_a_known_signature(self) -> None:
        outcome = classify(LEAK, end("race", "exception", signature="stream/pool-exhausted"), {})
        assert outcome == Outcome(Kind.KILL, "race", "stream/pool-exhausted", True)


class TestWhatIsNoKill:
    @pytest.mark.parametrize("verdict", ["crash", "hang", "race"])
    def test_any_other_failure_is_a_wrong_verdict(self, verdict: str) -> None:
        assert classify(VALUE, end(verdict), {}).kind == Kind.WRONG_VERDICT

    @pytest.mark.parametrize("verdict", ["pass", "interesting"])
    def test_green_is_clean(self, verdict: str) -> None:
        assert classify(VALUE, end(verdict), {}) == Outcome(Kind.CLEAN, verdict, "")

    @pytest.mark.parametrize("verdict", ["inconclusive", "broken", "error", "oom"])
    def test_what_cannot_tell_is_unusable(self, verdict: str) -> None:
        assert classify(VALUE, end(verdict), {}).kind == Kind.UNUSABLE

    def test_what_the_scenario_accepts_is_clean(self) -> None:
        assert classify(VALUE, end("oom"), {"oom": "asked for"}).kind == Kind.CLEAN

    def test_without_a_fault_every_failure_is_wrong(self) -> None:
        assert classify(None, end("mismatch", "torn"), {}).kind == Kind.WRONG_VERDICT


class TestSubjects:
    def test_probabilities_scale_from_what_the_fault_declares(self) -> None:
        armed = Subject("fork", BY_NAME["pool_counter_unlocked"], probability=0.001).armed
        assert armed is not None
        assert armed.probability == pytest.approx(0.01)
        assert armed.window_us == 50

    def test_and_end_at_certainty(self) -> None:
        armed = Subject("fork", BY_NAME["fork_state_reused"], probability=0.1).armed
        assert armed is not None
        assert armed.probability == 1.0

    def test_labels_tell_twins_and_scales_apart(self) -> None:
        labels = {
            Subject("fork", VALUE).label,
            Subject("fork", VALUE, twin=True).label,
            Subject("fork", VALUE, probability=0.1).label,
            Subject("fork").label,
            Subject("upstream").label,
        }
        assert len(labels) == 5

    def test_the_switch_reaches_the_device(self) -> None:
        text = Subject("upstream", CRASH, twin=True).sim.configure_text()
        assert text == "design=upstream;schedule=free;faults=commit_twice:0.01:0/twin"


class TestCounts:
    def test_strikes_that_nobody_saw_are_counted_apart(self) -> None:
        count = Count()
        count.add(Outcome(Kind.CLEAN, "pass", ""), 0.5, 3)
        count.add(Outcome(Kind.CLEAN, "pass", ""), 0.5, 0)
        count.add(Outcome(Kind.KILL, "mismatch", "torn", True), 0.5, 2)
        count.add(Outcome(Kind.KILL, "crash", "SIGSEGV", True), 0.5, None)
        assert (count.attempts, count.reported, count.strikes, count.struck_unseen) == (4, 3, 5, 1)
        assert count.seconds == pytest.approx(2.0)

    def test_sums_add_everything(self) -> None:
        one, other = Count(), Count()
        one.add(Outcome(Kind.KILL, "mismatch", "torn", True), 0.5, 1)
        other.add(Outcome(Kind.WRONG_VERDICT, "crash", "SIGSEGV"), 1.5, None)
        other.add(Outcome(Kind.UNUSABLE, "oom", "oom"), 0.25, None)
        total = Count.sum([one, other])
        assert (total.kills, total.wrong_verdicts, total.counted, total.right_names) == (1, 1, 2, 1)
        assert total.seconds == pytest.approx(2.25)
        assert total.names == {"mismatch torn": 1, "crash SIGSEGV": 1, "oom oom": 1}
