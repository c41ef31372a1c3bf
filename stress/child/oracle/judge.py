"""Judge what the crew got: bitwise first, then within the budget, then give the wrong value its name."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

import torch

from stress.child import leaf_values
from stress.child import tensor_tree
from stress.child.oracle import wrong_value
from stress.child.oracle.expectation import Expected
from stress.child.oracle.tolerance import SPREAD_FACTOR
from stress.child.oracle.tolerance import distance
from stress.child.oracle.tolerance import is_numeric
from stress.child.oracle.tolerance import magnitude
from stress.child.oracle.tolerance import too_wide
from stress.child.perturb.dispatch_cache import INSTRUMENT_ERROR
from stress.child.workload import StepResult
from stress.model.finding import Finding
from stress.model.finding import broken
from stress.model.plan import Plan
from stress.model.plan import Slot
from stress.model.verdict import Verdict
from stress.scenario.scenario import Scenario
from stress.scenario.scenario import overrides

NAMED_MAX = 20
"""Wrong values named per attempt; the rest are counted. Naming compares with every other expectation."""


@dataclass
class Judgement:
    """The oracle's judgement of one attempt."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    judged: int = 0
    bitwise: int = 0
    wrong: int = 0

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class Judge:
    """Compares the outcomes of one attempt with all the reference variants of the item.

    `references` has one list of expectations per kernel path (environment); matching any path passes.
    """

    def __init__(
        self, scenario: Scenario, plan: Plan, references: Sequence[Sequence[Expected]], *, varies_alone: bool
    ) -> None:
        self.scenario = scenario
        self.plan = plan
        self.references = references
        self.varies_alone = varies_alone
        self.compares = overrides(scenario, "compare")
        self.by_author = overrides(scenario, "reference")
        self.result = Judgement()

    def judge(self, outcomes: Sequence[StepResult | None], finished: Sequence[StepResult]) -> Judgement:
        """Judge every outcome; a slot without one is a thread that died early."""
        for index, outcome in enumerate(outcomes):
            slot = self.plan.slots[index]
            if outcome is None:
                self._add(
                    Finding(Verdict.RACE, "not-run", "the iteration never finished: its thread died early"),
                    slot,
                )
            else:
                self.judge_one(index, outcome, slot)
        for offset, outcome in enumerate(finished):
            self.judge_one(len(self.plan.slots) + offset, outcome, None)
        if self.varies_alone:
            self.result.note("nondeterministic alone: repeated runs on one thread are not bitwise equal")
        return self.result

    def _add(self, finding: Finding, slot: Slot | None) -> None:
        self.result.wrong += 1
        if len(self.result.findings) >= NAMED_MAX:
            return
        if slot is not None:
            finding.wave, finding.thread, finding.iteration = slot.wave, slot.thread, slot.iteration
        self.result.findings.append(finding)

    def _counts_only(self) -> bool:
        """Count a wrong value and return true once enough are named: naming hundreds took seconds."""
        full = len(self.result.findings) >= NAMED_MAX
        self.result.wrong += full
        return full

    def judge_one(self, index: int, outcome: StepResult, slot: Slot | None) -> None:
        """Judge one outcome against expectation `index`; findings go into `result`."""
        self.result.judged += 1
        expected = [path[index] for path in self.references]
        if outcome.raised is not None:
            self._judge_exception(outcome, expected, slot)
            return
        if not any(one.variants for one in expected):
            text = f"returned a value, where the sequential run raises {expected[0].raised[0]}"
            self._add(Finding(Verdict.RACE, "no-exception", text), slot)
            return
        usable = [one for one in expected if one.variants and one.spec == tensor_tree.describe(outcome.spec)]
        if not usable:
            text = f"the value has the structure {tensor_tree.describe(outcome.spec)}, the sequential run's has {expected[0].spec}"
            self._add(Finding(Verdict.MISMATCH, "structure", text), slot)
        elif self.compares:
            self._judge_by_author(index, outcome, usable, slot)
        else:
            for place, got in enumerate(outcome.leaves):
                self._judge_leaf(index, place, got, usable, slot)

    def _judge_exception(self, outcome: StepResult, expected: Sequence[Expected], slot: Slot | None) -> None:
        raised = outcome.raised
        assert raised is not None
        if not raised.is_control_flow and any(raised in one.raised for one in expected):
            self.result.bitwise += 1
            return
        if INSTRUMENT_ERROR in raised.message:
            text = f"torch's own cache of operators raced under the perturbation's dispatch mode: {raised}"
            self._add(Finding(Verdict.INCONCLUSIVE, "instrument", text, trace=raised.trace), slot)
            return
        if raised.is_of_this_torch and not self.by_author and any(one.variants for one in expected):
            # The sequential run found the function: a thread has taken it away.
            self._add(Finding(Verdict.RACE, "exception", f"{raised}", trace=raised.trace), slot)
            return
        self._add(raised.finding(), slot)

    def _judge_by_author(
        self, index: int, outcome: StepResult, expected: Sequence[Expected], slot: Slot | None
    ) -> None:
        got = tensor_tree.unflatten(outcome.leaves, outcome.spec)
        answer: bool | str = False
        for variant in (variant for one in expected for variant in one.variants):
            try:
                answer = self.scenario.compare(got, tensor_tree.unflatten(variant, outcome.spec))
            except Exception as error:
                self._add(broken("compare", f"compare raised {type(error).__name__}: {error}"), slot)
                return
            if answer is True:
                self.result.bitwise += all(map(tensor_tree.same_bits, outcome.leaves, variant))
                return
        if self._counts_only():
            return
        place, leaf = 0, outcome.leaves[0]
        finding = self._named(index, place, leaf, expected[0].variants[0][place], None, slot)
        finding.text = answer if isinstance(answer, str) else f"compare says it is wrong; {finding.text}"
        self._add(finding, slot)

    def _judge_leaf(
        self, index: int, place: int, got: torch.Tensor, expected: Sequence[Expected], slot: Slot | None
    ) -> None:
        # Bits first, over all kernel paths. A distance to the double-precision result alone does not work, since it
        # calls a wrong value right where the tolerance is wide; so a tolerance that could not tell right from wrong is
        # reported, even for values that lie within it.
        if any(tensor_tree.same_bits(got, variant[place]) for one in expected for variant in one.variants):
            self.result.bitwise += 1
            varying = [_tolerance(one, place) for one in expected if one.spread[place]]
            vague = next((one for one in varying if one.is_vague), None)
            if vague is not None:
                # Threads that happened to run one after another: any other order would not have been judged.
                self._add(_cannot_tell(vague), slot)
            return
        if expected[0].is_value(place):
            self._judge_value(index, place, got, expected, slot)
            return
        closest: tuple[float, torch.Tensor, torch.Tensor, float] | None = None
        for one in expected:
            values = [variant[place] for variant in one.variants]
            tolerance = _tolerance(one, place)
            if tolerance.spread == float("inf"):
                self._add(_cannot_tell(tolerance), slot)
                return
            center, allowed = tolerance.center, tolerance.allowed
            if center.shape != got.shape or values[0].dtype != got.dtype:
                continue
            gap = self._forgive_overflow(distance(got, center), got, values[0])
            error = float(gap.max()) if gap.numel() else 0.0
            if error <= allowed:
                if tolerance.is_vague:
                    self._add(_cannot_tell(tolerance), slot)
                else:
                    self._note_near(tolerance.spread > 0)
                return
            # Of the path that is nearest: what is said of a wrong value should be how far it is from being right.
            if closest is None or error < closest[0]:
                closest = (error, gap, values[0], allowed)
        if closest is None:
            right = expected[0].variants[0][place]
            text = (
                f"shape {tuple(got.shape)} {got.dtype}, the sequential run's is "
                f"{tuple(right.shape)} {right.dtype}"
            )
            self._add(Finding(Verdict.MISMATCH, "shape", text, output=place), slot)
            return
        if self._counts_only():
            return
        error, gap, right, allowed = closest
        self._add(self._named(index, place, got, right, (gap > allowed, error, allowed), slot), slot)

    def _judge_value(
        self, index: int, place: int, got: torch.Tensor, expected: Sequence[Expected], slot: Slot | None
    ) -> None:
        """Judge a text, bytes or None that is none of the sequential runs'."""
        varying = [_tolerance(one, place) for one in expected if one.spread[place]]
        if varying:
            self._add(_cannot_tell(varying[0]), slot)
            return
        if self._counts_only():
            return
        name, whose = "unequal", None
        for one in self._candidates(index, place, slot):
            if tensor_tree.same_bits(got, one.value):
                name, whose = ("stale" if one.own_earlier else "cross-talk"), one.owner
                break
        right = expected[0].variants[0][place]
        text = f"{_TEXT[name].format(whose=whose)}; {leaf_values.difference(got, right)}"
        self._add(Finding(Verdict.MISMATCH, name, text, output=place, whose=whose), slot)

    @staticmethod
    def _forgive_overflow(gap: torch.Tensor, got: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Return the reference value: where the narrow dtype overflows, the sequential value instead of the exact one."""
        if value.shape == got.shape and is_numeric(got.dtype):
            same = (got == value) | (torch.isnan(got) & torch.isnan(value))
            gap = torch.where(same & ~torch.isfinite(value), torch.zeros_like(gap), gap)
        return gap

    def _note_near(self, varies: bool) -> None:
        if not varies:
            self.result.note(
                "other kernel path: within the error budget, but not bitwise equal to one thread alone"
            )
        elif not self.varies_alone:
            self.result.note("order-dependent: within the spread of the sequential orders")

    def _named(
        self,
        index: int,
        place: int,
        got: torch.Tensor,
        right: torch.Tensor,
        measured: tuple[torch.Tensor, float, float] | None,
        slot: Slot | None,
    ) -> Finding:
        if got.shape != right.shape:
            return Finding(
                Verdict.MISMATCH,
                "shape",
                f"shape {tuple(got.shape)}, expected {tuple(right.shape)}",
                output=place,
            )
        if measured is None:
            gap = distance(got, right)
            measured = (gap > 0, float(gap.max()) if gap.numel() else 0.0, 0.0)
        wrong, error, allowed = measured
        name, whose = wrong_value.name(got, right, wrong, self._candidates(index, place, slot))
        count = int(wrong.sum())
        first = wrong.nonzero()[0].tolist() if count else []
        text = _TEXT[name].format(whose=whose)
        if count:
            at = tuple(first)
            text += f"; {count} of {wrong.numel()} elements wrong, first at {first}: {got[at].item():.6g}, expected {right[at].item():.6g}"
        return Finding(
            Verdict.MISMATCH, name, text, output=place, index=first, wrong_elements=count, elements=wrong.numel(),
            error_max=error if error != float("inf") else None, error_allowed=allowed, whose=whose,
        )  # fmt: skip

    def _candidates(self, index: int, place: int, slot: Slot | None) -> Iterator[wrong_value.ForeignValue]:
        """Yield the right values of all other iterations, this thread's earlier ones first."""

        def others() -> Iterator[tuple[bool, Slot, int]]:
            for other_index, other in enumerate(self.plan.slots):
                if other_index != index:
                    own = (
                        slot is not None and other.worker == slot.worker and other.iteration < slot.iteration
                    )
                    yield not own, other, other_index

        for not_own, other, other_index in sorted(others(), key=lambda one: one[0]):
            # Of the item's own environment: values of other kernel paths would name by chance what no thread computed.
            for variant in self.references[0][other_index].variants:
                if place < len(variant):
                    yield wrong_value.ForeignValue(str(other), not not_own, variant[place])


@dataclass(frozen=True)
class _Tolerance:
    """The tolerance for a leaf that is not bitwise right."""

    expected: Expected
    place: int
    center: torch.Tensor
    """The value that distances are measured from."""
    allowed: float

    @property
    def spread(self) -> float:
        return self.expected.spread[self.place]

    @property
    def scale(self) -> float:
        """Return the size of the values."""
        exact = self.expected.exact
        return self.expected.scale[self.place] if exact else magnitude(self.center)

    @property
    def is_vague(self) -> bool:
        """Whether it could not separate right from wrong."""
        half = self.expected.half[self.place]
        return self.spread == float("inf") or too_wide(self.allowed, self.scale, half=half)


def _tolerance(one: Expected, place: int) -> _Tolerance:
    values = [variant[place] for variant in one.variants]
    spread, numeric = one.spread[place], is_numeric(values[0].dtype)
    if spread == float("inf"):
        return _Tolerance(one, place, values[0], 0.0)
    own = one.allowed[place] if one.exact and numeric else 0.0
    # From the mean of the sequential orders: from one of them, which may lie at the end of their range, a right value
    # could be twice as far as from the middle.
    if spread and numeric:
        wide = torch.complex128 if values[0].is_complex() else torch.float64
        center = torch.stack([value.to(wide) for value in values]).mean(dim=0)
        return _Tolerance(one, place, center, SPREAD_FACTOR * spread + own)
    return _Tolerance(one, place, one.exact[place] if one.exact and numeric else values[0], own)


def _cannot_tell(tolerance: _Tolerance) -> Finding:
    """Return the finding that a pass would mean nothing, because no wrong value would be recognised."""
    spread = tolerance.spread
    if spread == float("inf"):
        text = (
            "the sequential orders give different integers, texts or shapes here, so it is unknown which is right: "
            "write compare(), or return what does not depend on the order (from finish(), for instance)"
        )
        return Finding(Verdict.INCONCLUSIVE, "order-dependent", text, output=tolerance.place)
    allowed, scale = tolerance.allowed, tolerance.scale
    cause = (
        f"the sequential orders lie {spread:.3g} apart"
        if spread
        else "the CPU's own run is that far from its double-precision run"
    )
    text = (
        f"a tolerance of {allowed:.3g} for values of size {scale:.3g} could not separate right from wrong ({cause}): "
        "random results and results that depend on the order need compare()"
    )
    return Finding(
        Verdict.INCONCLUSIVE, "tolerance too wide", text, output=tolerance.place, error_allowed=allowed
    )


_TEXT = {
    "cross-talk": "another iteration's right value, that of {whose}",
    "stale": "this thread's earlier value, that of {whose}",
    "unwritten": "never written: the memory still holds the poison it was filled with before",
    "torn": "a mix of the right value and that of {whose}",
    "nan": "NaN or infinity where the right value is finite",
    "numeric": "wrong number",
    "unequal": "not what one thread gets",
}
