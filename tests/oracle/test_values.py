"""The parts of the oracle on values made by hand: names, distances, digests, trees, states, the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from stress.child import tensor_tree
from stress.child.oracle import store
from stress.child.oracle import tolerance
from stress.child.oracle.digest import digest
from stress.child.oracle.digest import ramps
from stress.child.oracle.wrong_value import POISON_BYTE
from stress.child.oracle.wrong_value import ForeignValue
from stress.child.oracle.wrong_value import name
from stress.child.state import state_tensors
from stress.child.state import storage_key
from stress.child.state import to_exact
from stress.model.errors import BrokenScenario

ALL_DTYPES = [
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
]  # fmt: skip


def ramped(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    count = 1
    for extent in shape:
        count *= extent
    return torch.arange(count).reshape(shape).to(dtype)


class TestNames:
    right = torch.arange(8.0)
    other = right + 100
    candidates = (
        ForeignValue("thread 2 iteration 0", False, other),
        ForeignValue("thread 0 iteration 1", True, right - 50),
    )

    def name(self, got: torch.Tensor, candidates: Any = None) -> tuple[str, str | None]:
        return name(got, self.right, got != self.right, self.candidates if candidates is None else candidates)

    def test_another_threads_value_is_cross_talk(self) -> None:
        assert self.name(self.other.clone()) == ("cross-talk", "thread 2 iteration 0")

    def test_an_own_earlier_value_is_stale(self) -> None:
        assert self.name(self.right - 50) == ("stale", "thread 0 iteration 1")

    def test_poison_is_unwritten_also_in_part(self) -> None:
        got = self.right.clone()
        tree_bytes = got[4:].view(torch.uint8)
        tree_bytes.fill_(POISON_BYTE)
        assert self.name(got) == ("unwritten", None)

    def test_a_mix_of_two_right_values_is_torn(self) -> None:
        assert self.name(torch.cat([self.right[:5], self.other[5:]])) == ("torn", "thread 2 iteration 0")

    def test_one_wrong_element_is_no_mix(self) -> None:
        assert self.name(torch.cat([self.right[:7], self.other[7:]])) == ("numeric", None)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_a_new_nan_or_infinity_is_nan(self, bad: float) -> None:
        got = self.right.clone()
        got[3] = bad
        assert self.name(got) == ("nan", None)

    def test_anything_else_is_numeric(self) -> None:
        assert self.name(self.right + 0.5) == ("numeric", None)

    def test_booleans_are_never_torn(self) -> None:
        right, got = torch.tensor([True, False, True, False]), torch.tensor([False, True, True, False])
        others = [ForeignValue("thread 1 iteration 0", False, torch.tensor([False, True, False, False]))]
        assert name(got, right, got != right, others) == ("numeric", None)


class TestDistance:
    def test_the_same_nan_or_infinity_is_no_distance(self) -> None:
        value = torch.tensor([1.0, float("nan"), float("inf"), -float("inf")])
        assert tolerance.distance(value, value.clone()).tolist() == [0.0, 0.0, 0.0, 0.0]

    def test_a_nan_where_there_is_none_is_infinitely_far(self) -> None:
        assert tolerance.distance(torch.tensor([float("nan")]), torch.tensor([1.0])).item() == float("inf")
        assert tolerance.distance(
            torch.tensor([float("inf")]), torch.tensor([-float("inf")])
        ).item() == float("inf")

    @pytest.mark.parametrize("dtype", ALL_DTYPES)
    def test_every_dtype_has_a_distance(self, dtype: torch.dtype) -> None:
        left, right = torch.ones(3).to(dtype), torch.zeros(3).to(dtype)
        assert tolerance.distance(left, right).tolist() == [1.0, 1.0, 1.0]
        assert tolerance.magnitude(left) == 1.0

    def test_nothing_has_no_magnitude(self) -> None:
        assert tolerance.magnitude(torch.empty(0)) == 0.0
        assert tolerance.magnitude(torch.tensor(float("nan"))) == 0.0

    def test_many_at_once_are_as_one_by_one(self) -> None:
        odd = torch.tensor([float("nan"), float("inf"), 2.0, -3.0])
        shapes: list[tuple[int, ...]] = [(3, 5), (3, 5), (4,), (), (0, 4), (0,), (1,)]
        lefts = [ramped(dtype, *shape) for dtype in ALL_DTYPES for shape in shapes] + [odd, odd, odd.flip(0)]
        rights = [one + 1 if one.dtype != torch.bool else ~one for one in lefts]
        rights[-2] = odd
        assert tolerance.magnitudes(lefts) == [tolerance.magnitude(one) for one in lefts]
        assert tolerance.errors_of(lefts, rights) == list(map(tolerance.error_of, lefts, rights))
        assert len(set(tolerance.errors_of(lefts, rights))) > 1
        assert tolerance.magnitudes([]) == tolerance.errors_of([], []) == []

    def test_a_tolerance_as_large_as_the_value_is_too_wide(self) -> None:
        assert tolerance.too_wide(1.0, 1.0, half=False)
        assert not tolerance.too_wide(1e-5, 1.0, half=False)
        assert not tolerance.too_wide(0.3, 1.0, half=True)
        assert tolerance.too_wide(0.6, 1.0, half=True)


class TestDigest:
    @pytest.mark.parametrize("dtype", ALL_DTYPES)
    def test_a_digest_sees_one_changed_and_two_swapped_elements(self, dtype: torch.dtype) -> None:
        value = ramped(dtype, 4, 5) if dtype != torch.bool else ramped(torch.int64, 4, 5) % 3 == 0
        weights = ramps(64, torch.device("cpu"))
        changed, swapped = value.clone(), value.clone()
        changed[2, 1] = value[2, 1] + 3 if dtype != torch.bool else ~value[2, 1]
        swapped[0, 0], swapped[3, 4] = value[3, 4], value[0, 0]
        before = digest(value, weights)
        assert not tensor_tree.same_bits(before, digest(changed, weights))
        if not torch.equal(value, swapped):
            assert not tensor_tree.same_bits(before, digest(swapped, weights))

    def test_no_elements_have_a_digest_too(self) -> None:
        assert digest(torch.empty(0, 3), ramps(1, torch.device("cpu"))).tolist() == [0, 0, 0, 0]


class TestTree:
    def test_nested_values_are_flattened_with_their_structure(self) -> None:
        leaves, spec = tensor_tree.flatten({"a": (torch.ones(2), 3), "b": [True, 1.5]}, "step")
        assert [leaf.tolist() for leaf in leaves] == [[1.0, 1.0], 3, True, 1.5]
        assert tensor_tree.unflatten(leaves, spec)["b"][1].item() == 1.5

    @pytest.mark.parametrize("value", ["text", "", b"\xff", "\ud800", None])
    def test_texts_bytes_and_none_come_back(self, value: object) -> None:
        leaves, spec = tensor_tree.flatten((torch.ones(1), value), "step")
        assert tensor_tree.unflatten(leaves, spec)[1] == value

    @pytest.mark.parametrize("value", [None, (), {}, [None], object(), (torch.ones(1), object())])
    def test_what_cannot_be_judged_is_broken(self, value: object) -> None:
        with pytest.raises(BrokenScenario, match="step returned"):
            tensor_tree.flatten(value, "step")

    @pytest.mark.parametrize("dtype", ALL_DTYPES)
    def test_bits_are_compared_not_values(self, dtype: torch.dtype) -> None:
        value = ramped(dtype, 2, 3)
        assert tensor_tree.same_bits(value, value.clone())
        assert tensor_tree.same_bits(value.t(), value.t().contiguous())
        assert not tensor_tree.same_bits(value, ramped(dtype, 3, 2))
        other = torch.complex128 if dtype == torch.complex64 else torch.complex64
        assert not tensor_tree.same_bits(value, value.to(other))

    def test_nan_equals_itself_and_zeros_of_two_signs_differ(self) -> None:
        nan = torch.tensor([float("nan")])
        assert tensor_tree.same_bits(nan, nan.clone())
        assert not tensor_tree.same_bits(torch.tensor(0.0), torch.tensor(-0.0))

    def test_conjugates_and_negatives_are_resolved(self) -> None:
        value = torch.tensor([1 + 2j])
        assert tensor_tree.same_bits(value.conj(), torch.tensor([1 - 2j]))
        assert tensor_tree.same_bits(value.conj().imag, torch.tensor([-2.0]))


class TestState:
    def test_tensors_are_found_wherever_they_are(self) -> None:
        class Slotted:
            __slots__ = ("weight",)

            def __init__(self) -> None:
                self.weight = torch.ones(1)

        class Holder:
            def __init__(self) -> None:
                self.module = torch.nn.BatchNorm1d(2)
                self.nested = {"list": [torch.zeros(1), (Slotted(),)]}
                self.me = self

        paths = [path for path, _ in state_tensors(Holder())]
        assert any(path.endswith("module.running_mean") for path in paths)
        assert any(path.endswith(".weight") and "list" in path for path in paths)
        assert len(paths) == len(set(paths)) == 7

    def test_an_object_that_takes_every_name_for_a_kernels_is_looked_past(self) -> None:
        """As the library of shaders of `torch.mps.compile_shader`, which has no `__dict__`."""

        class Library:
            __slots__ = ()

            def __getattr__(self, name: str) -> object:
                raise RuntimeError(f"Failed to create function state object for: {name}")

        assert [path for path, _ in state_tensors({"library": Library(), "x": torch.ones(1)})] == [
            "state['x']"
        ]

    def test_double_precision_keeps_rounded_values_and_shared_storage(self) -> None:
        packed = torch.tensor([0.1, 0.2, 0.3])
        state = {"packed": packed, "part": packed[1:], "count": torch.tensor([1])}
        to_exact(state)
        assert state["packed"].dtype == state["part"].dtype == torch.float64
        assert state["packed"][0].item() == torch.tensor(0.1).item()  # the float32 value, not 0.1
        assert storage_key(state["packed"]) == storage_key(state["part"])
        assert state["count"].dtype == torch.int64

    def test_parameters_stay_parameters(self) -> None:
        module = torch.nn.Linear(2, 2)
        to_exact(module)
        assert isinstance(module.weight, torch.nn.Parameter)
        assert module(torch.ones(1, 2, dtype=torch.float64)).dtype == torch.float64


class TestStore:
    def test_everything_comes_back_bitwise(self, tmp_path: Path) -> None:
        tensors = [ramped(dtype, 3, 5) for dtype in ALL_DTYPES] + [torch.empty(0, 4), torch.tensor(7.5)]
        value = {"tensors": tensors, "n": [1, None, "x", float("inf")], "deep": {"t": {"t": tensors[0].t()}}}
        store.dump(tmp_path / "a.reference", value)
        read = store.load(tmp_path / "a.reference")
        assert all(map(tensor_tree.same_bits, tensors, read["tensors"]))
        assert tensor_tree.same_bits(read["deep"]["t"]["t"], tensors[0].t().contiguous())
        assert read["n"] == [1, None, "x", float("inf")]

    def test_what_nobody_asks_for_is_left_out(self, tmp_path: Path) -> None:
        store.dump(tmp_path / "a.reference", {"full": [torch.ones(2)], "digests": [torch.zeros(2)]})
        read = store.load(tmp_path / "a.reference", ("digests",))
        assert read["digests"] == []
        assert torch.equal(read["full"][0], torch.ones(2))
