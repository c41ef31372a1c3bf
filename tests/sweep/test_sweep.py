"""`mps-stress sweep`: torch's own operators from N threads; its database, its comparison, and the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from stress.commands.cli import main
from stress.commands.sweep import op_db
from stress.commands.sweep.scenario import LEAVES
from stress.commands.sweep.scenario import OperatorFromThreads
from stress.commands.sweep.scenario import _padded
from stress.record import RunReader
from tests import warm


def sweep(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        warm.command("stress.commands.cli", "sweep", "--results=runs", "--seed=1", *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    print(done.stdout, done.stderr)
    return done


class TestDatabase:
    def test_every_exemption_names_an_operator_that_is_there(self) -> None:
        names = {name for op in op_db.all_entries() for name in (op.name, op_db.full_name(op))}
        assert set(op_db.NOT_COMPARABLE_FROM_THREADS) <= names
        assert all(op_db.NOT_COMPARABLE_FROM_THREADS.values())

    def test_an_entry_is_found_by_its_full_name(self) -> None:
        assert op_db.full_name(op_db.entry("nn.functional.pad.reflect")) == "nn.functional.pad.reflect"
        with pytest.raises(LookupError, match="no operator 'matmull' in its database"):
            op_db.entry("matmull")


def subject(op: str, dtype: str = "float32") -> tuple[OperatorFromThreads, list[Any]]:
    """Return the scenario and its samples."""
    scenario = OperatorFromThreads()
    scenario.op, scenario.dtype_name = op, dtype
    sample = scenario.setup(torch.device("cpu"))
    return scenario, [sample(index) for index in range(scenario.iterations)]


class TestComparison:
    def expected(self) -> list[torch.Tensor]:
        return [torch.tensor(3), torch.linspace(0, 1, 7), *[torch.tensor(0)] * (LEAVES - 1)]

    def test_the_same_and_nearly_the_same_are_right(self) -> None:
        scenario, _ = subject("neg")
        near = self.expected()
        near[1] = near[1] * (1 + 2e-7)
        assert scenario.compare(self.expected(), self.expected()) is True
        assert scenario.compare(near, self.expected()) is True

    @pytest.mark.parametrize(
        ("place", "value", "text"),
        [
            (0, torch.tensor(4), "sample 3: the result is that of sample 4"),
            (1, torch.linspace(0, 1, 7) + 0.01, "sample 3, output 0: Tensor-likes are not close!"),
            (
                1,
                torch.linspace(0, 1, 8),
                "sample 3, output 0: torch.float32 (8,), expected torch.float32 (7,)",
            ),
            (1, torch.linspace(0, 1, 7).double(), "sample 3, output 0: torch.float64 (7,)"),
        ],
    )
    def test_anything_else_is_wrong_and_says_where(self, place: int, value: torch.Tensor, text: str) -> None:
        scenario, _ = subject("neg")
        got = self.expected()
        got[place] = value
        assert str(scenario.compare(got, self.expected())).startswith(text)

    def test_random_values_are_not_compared_but_shapes_are(self) -> None:
        scenario, _ = subject("randn_like")
        other = self.expected()
        other[1] = other[1] + 1
        assert scenario.compare(other, self.expected()) is True
        other[1] = other[1][:3]
        assert scenario.compare(other, self.expected()) is not True

    def test_outputs_beyond_the_last_one_are_put_into_it(self) -> None:
        padded = _padded([torch.full((2,), float(one)) for one in range(9)])
        assert len(padded) == LEAVES
        assert isinstance(padded[-1], torch.Tensor)
        assert padded[-1].tolist() == [5.0, 5.0, 6.0, 6.0, 7.0, 7.0, 8.0, 8.0]

    def test_all_samples_of_float32_and_some_of_the_others(self) -> None:
        assert len(subject("nn.functional.max_pool1d")[1]) > 100
        assert len(subject("nn.functional.max_pool1d", "float16")[1]) == 6
        dropped = [
            one for one in subject("nn.functional.scaled_dot_product_attention")[1] if one[2].get("dropout_p")
        ]
        assert not dropped


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--threads=1", "expected at least 2, as results are compared with one thread's"),
        ("--dtypes=float31", "unknown 'float31'; known are float32, float16"),
        ("--device=gpu", "choose one of auto, mps, cuda, cpu, sim"),
        ("--seconds=x", "--seconds=x: expected a positive number"),
        ("--sim-faults=x", "--sim-faults=x: there is no fault 'x'"),
    ],
)
def test_bad_input_is_one_sentence(argument: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", argument]) == 2
    told = capsys.readouterr().err
    assert text in told
    assert len(told.splitlines()) == 1


def test_a_table_per_operator(tmp_path: Path) -> None:
    names = "neg,randn_like,nn.functional.pad.*,linalg.cholesky"
    done = sweep(tmp_path, "--device=cpu", f"--ops={names}", "--dtypes=float32,float16,int64", "--threads=3")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: " ".join(line.split()) for line in done.stdout.splitlines() if line.strip()}
    assert rows["neg"].endswith("float32 float16 int64")
    assert rows["randn_like"].endswith("float32 float16 (not compared)")
    assert {"nn.functional.pad.reflect", "nn.functional.pad.constant", "linalg.cholesky"} <= rows.keys()
    assert "run, but not compared: 1 operators: draws random numbers" in done.stdout
    (folder,) = (tmp_path / "runs").iterdir()
    items = {one["item"]: one for one in RunReader(folder) if one["kind"] == "item"}
    assert items["sweep::neg::float32"]["verdict"] == "pass"
    assert {path.suffix for path in folder.iterdir()} == {".jsonl"}


def test_an_operator_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "--ops=neg,matmull"]) == 2
    assert "has no operator 'matmull' in its database" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")
def test_a_fault_is_found_and_needs_the_threads(tmp_path: Path) -> None:
    operators = "--ops=addmm,sparse.mm.reduce"
    done = sweep(
        tmp_path, "--device=sim", operators, "--dtypes=float32", "--sim-faults=copy_torn:1:200", "--json"
    )
    assert done.returncode == 1, done.stderr
    found = {one["op"]: one for one in json.loads(done.stdout)["cases"]}
    assert found["sparse.mm.reduce"]["word"] == "refused", "this device has no sparse tensors"
    bad = found["addmm"]
    assert bad["word"] == "MISMATCH"
    assert bad["failures"] >= 1
    assert (bad["controls"], bad["control_failures"]) == (bad["attempts"], 0)
    assert "sample " in bad["headline"]
