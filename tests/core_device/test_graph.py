"""MPSGraph as an interpreter over torch's CPU kernels: what small graphs compute, and ends with a name."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from stress.device.clang import Toolchain
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.sanitizer.native.build import NativeBuilder
from stress.sanitizer.native.recipe import Recipe

RECIPE = Path(__file__).parent / "graph" / "graph.toml"
TIMEOUT_S = 240.0
RIGHT = (
    "a_small_network",
    "a_strided_array",
    "a_result_where_an_operand_lies",
    "a_shape_that_depends_on_values",
    "whole_numbers_of_another_width",
    "an_unranked_placeholder",
    "a_layer_norm_and_its_gradient",
    "a_maximum_without_nan",
    "pooling_and_its_gradients",
    "a_convolution_and_its_gradients",
    "a_gradient_of_a_source_that_windows_do_not_reach",
    "an_image_resized_and_back",
    "random_numbers",
    "a_fourier_transform",
    "matrices",
    "a_sum_of_booleans",
    "a_sum_over_no_axes",
    "an_index_behind_the_end",
    "an_update_behind_the_end",
    "all_and_any_of_fractions",
    "halves_between_operations",
    "numbers_made_in_two_steps",
)
ENDS = {
    "an_operation_without_a_body": "not simulated: -[MPSGraph dequantizeTensor:",
    "operands_of_two_types": "addition]: failed assertion `requires the same element type for all operands, not Float and Int'",
    "shapes_that_do_not_fit": "-[MPSGraph addition]: failed assertion `The size of tensor a (2) must match",
    "a_placeholder_that_is_not_fed": "failed assertion `a placeholder is not fed'",
    "a_result_of_another_size": "failed assertion `a result of 2 values for an array of 3'",
    "a_feed_of_another_size": "failed assertion `Placeholder shape mismatches'",
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program() -> Path:
    try:
        toolchain: Toolchain = find_toolchain("the interpreter of graphs")
    except ToolchainError as error:
        pytest.skip(str(error))
    if toolchain.is_apple:
        pytest.skip("a Mac has MPSGraph itself")
    return NativeBuilder(Recipe.load(RECIPE), toolchain, tsan=False).ensure(print).path


def _run(program: Path, situation: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, situation], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@pytest.mark.parametrize("situation", RIGHT)
def test_it_computes_as_torch_does(program: Path, situation: str) -> None:
    done = _run(program, situation)
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


@pytest.mark.parametrize("situation", ENDS)
def test_what_it_cannot_do_ends_with_a_name(program: Path, situation: str) -> None:
    done = _run(program, situation)
    assert ENDS[situation] in done.stderr
    assert done.returncode == -signal.SIGABRT
