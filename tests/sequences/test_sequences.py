"""Random sequences of operators: as data, as printed code, and as what finds a fault in a pair that nobody listed."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from stress.model.errors import BrokenScenario
from stress.scenario.sequences import numbers
from stress.scenario.sequences import program
from stress.scenario.sequences.catalogue import EXTENT_MAX
from stress.scenario.sequences.catalogue import LANES
from stress.scenario.sequences.catalogue import TEMPLATES
from stress.scenario.sequences.catalogue import Op
from tests.acceptance import RunStress

SCENARIO = Path(__file__).parents[2] / "scenarios" / "op_sequences.py"


def run(ops: list[str], lane: str, number: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    step = program.compiled(program.parse(ops), lane, Path("nowhere"), "sequence")
    x = torch.randn(numbers.shape(number), generator=generator)
    w = torch.randn(64, 64, generator=generator) / 8
    return step(x, w, torch.randn(64, generator=generator))


class TestNumbers:
    def test_a_number_is_the_same_sequence_for_ever(self) -> None:
        # Records name sequences by their number: a change of the generator would make them other ones.
        assert numbers.draw(0)[:3] == ["a tail", "a flip", "a copy"]
        assert numbers.draw(0) == numbers.draw(0) != numbers.draw(1)

    def test_ranges(self) -> None:
        assert numbers.parse("3,0-2,2") == (3, 0, 1, 2)
        assert numbers.chosen({}) == numbers.parse(numbers.DEFAULT)
        assert numbers.chosen({numbers.VARIABLE: "17"}) == (17,)

    @pytest.mark.parametrize("text", ["", "x", "-1", "3-1", "0-99999", "1,,2", "9999999999999"])
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="expected numbers and ranges, as in 1-4 or 17,40-49"):
            numbers.parse(text)


class TestOps:
    def test_the_text_reads_back(self) -> None:
        texts = [text for number in range(20) for text in numbers.draw(number)]
        assert [str(Op.parse(text)) for text in texts] == texts

    @pytest.mark.parametrize(
        "text",
        [
            "a",
            "c linear 24",
            "a linear",
            "a linear 23",
            "a gelu 2",
            "a exec",
            "a linear 24 5",
            "a linear x",
            5,
            None,
        ],
    )
    def test_what_names_no_operator_is_refused(self, text: object) -> None:
        with pytest.raises(BrokenScenario, match="is not an operator of a sequence"):
            program.parse([text])

    def test_all_operators_are_drawn(self) -> None:
        drawn = {Op.parse(text).name for number in range(200) for text in numbers.draw(number)}
        assert drawn == set(TEMPLATES)

    @pytest.mark.parametrize("name", TEMPLATES)
    def test_an_operator_takes_what_any_other_leaves(self, name: str) -> None:
        template = TEMPLATES[name]
        op = str(Op("a", name, template.numbers[-1] if template.numbers else None))
        for shape_number in range(12):
            for ops in ([op], [op, op, op], [*numbers.draw(shape_number)[:4], op]):
                for value in run(ops, "a", shape_number):
                    assert min(value.shape) >= 1
                    assert max(value.shape[-2:]) <= EXTENT_MAX
                    assert bool(value.isfinite().all())
                    assert bool(value.any())

    @pytest.mark.parametrize("number", range(6))
    def test_any_shorter_sequence_is_valid(self, number: int) -> None:
        ops = numbers.draw(number)
        for start in range(len(ops)):
            shorter = ops[:start] + ops[start + 3 :]
            assert all(len(run(shorter, lane, number)) == 2 for lane in LANES)


def test_the_printed_code_is_what_runs_and_runs_by_itself() -> None:
    text = program.source(numbers.draw(2), numbers.shape(2), "torch.float32", 2)
    for lane in LANES:
        assert program.lane_source(program.parse(numbers.draw(2)), lane) in text
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=800, check=True
    )
    assert done.stdout.count("tensor(") == 4


def test_a_wrong_number_is_a_usage_error(run_stress: RunStress) -> None:
    ran = run_stress("", "--mps-sequences=5-1")
    assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
    ran.result.stderr.fnmatch_lines(
        ["*--mps-sequences=5-1: expected numbers and ranges, as in 1-4 or 17,40-49*"]
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")
def test_the_fault_of_a_pair_is_found_and_its_code_is_printed(
    run_stress: RunStress, pytester: pytest.Pytester
) -> None:
    (pytester.mkdir("scenarios") / "op_sequences.py").write_text(SCENARIO.read_text())
    how = ("--mps-device=sim", "--mps-sim-faults=op_pair_order:0.1:0", "--mps-threads=8", "--mps-attempts=20")
    ran = run_stress(
        "", *how, "--mps-seed=1", "--mps-sequences=0", "-k", "float32", "scenarios/op_sequences.py"
    )
    assert ran.result.ret == 1
    found = ran.items["RandomSequences[float32-0-t8]"]
    assert found["verdict"] == "mismatch"
    _, _, block = ran.text.partition("  what the threads ran:\n")
    code = textwrap.dedent(
        "\n".join(line for line in block.splitlines() if line.startswith("    ") or not line)
    )
    assert code.startswith("# sequence 0: even threads run lane a")
    assert "F.scaled_dot_product_attention(x, x, x)" in code
    assert "--mps-sequences=0" in block
