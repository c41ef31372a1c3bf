"""`--mps-operator`: torch's operators replaced in the children, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from stress.device import operator_patch
from stress.device.operator_patch import Operator
from tests.acceptance import Ran
from tests.acceptance import RunStress

SVD = Path(__file__).parents[2] / "scenarios" / "svd.py"

NOT_IN_PYTEST = "import sys\nassert '_pytest' not in sys.modules, 'imported in the pytest process'\n"
MYPKG = (
    NOT_IN_PYTEST
    + """\
import torch
_torch_svd = torch.linalg.svd
_scratch = {}

def svd(x, full_matrices=True):
    # As a kernel with one workspace for all threads.
    _scratch["x"] = x.clone()
    for _ in range(50):
        pass
    return _torch_svd(_scratch["x"], full_matrices=full_matrices)

def right(x, full_matrices=True):
    u, s, vh = _torch_svd(x, full_matrices=full_matrices)
    return -u, s, -vh  # as good a decomposition

def patch():
    torch.linalg.svd = svd

def failing():
    raise OSError("no metallib")

number = 5
"""
)

STEP = """
class Double(Scenario):
    iterations = 2
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
    def step(self, state, x):
        return {step}
"""


class TestParse:
    def test_both_forms(self) -> None:
        assert operator_patch.parse("linalg.svd=mypkg.svd:svd,torch.bmm=other:a.b,mypkg:patch") == (
            Operator("linalg.svd", "mypkg.svd", "svd"),
            Operator("bmm", "other", "a.b"),
            Operator("", "mypkg", "patch"),
        )

    def test_the_text_reads_back(self) -> None:
        text = "linalg.svd=mypkg.svd:svd,mypkg:patch"
        assert ",".join(map(str, operator_patch.parse(text))) == text

    @pytest.mark.parametrize(
        "text",
        ["svd", "linalg.svd=", "linalg.svd=mypkg", "=mypkg:svd", "a=b=c:d", "my pkg:svd", "mypkg:", "os;x:y"],
    )
    def test_another_form_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"expected NAME=MODULE:FUNCTION, as in linalg\.svd=mypkg:svd"):
            operator_patch.parse(text)

    def test_a_name_given_twice(self) -> None:
        with pytest.raises(ValueError, match=r"linalg\.svd is named twice"):
            operator_patch.parse("linalg.svd=a:b,linalg.svd=c:d")


def _copy_scenario(pytester: pytest.Pytester) -> None:
    """Put the shipped scenarios where the records may go."""
    (pytester.mkdir("scenarios") / "svd.py").write_text(SVD.read_text())


def run(run_stress: RunStress, pytester: pytest.Pytester, operator: str, *more: str, step: str) -> Ran:
    pytester.makepyfile(mypkg=MYPKG)
    return run_stress(STEP.format(step=step), f"--mps-operator={operator}", "--mps-attempts=1", *more)


@pytest.mark.parametrize(
    ("operator", "text"),
    [
        (
            "linalg.svd=nopkg:svd",
            "module nopkg cannot be imported: ModuleNotFoundError: No module named 'nopkg'",
        ),
        ("linalg.svd=mypkg:svdd", "mypkg has no svdd"),
        ("linalg.sdv=mypkg:svd", "torch.linalg has no sdv"),
        ("lin.svd=mypkg:svd", "torch has no lin"),
        ("linalg.svd=mypkg:number", "mypkg:number is not a function: it has type int"),
        ("mypkg:failing", "mypkg:failing() raised OSError: no metallib"),
        ("linalg.svd", "expected NAME=MODULE:FUNCTION"),
    ],
)
def test_wrong_names_are_a_usage_error(
    run_stress: RunStress, pytester: pytest.Pytester, operator: str, text: str
) -> None:
    ran = run(run_stress, pytester, operator, step="x + 1")
    assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [one for one in ran.result.errlines if one.startswith("ERROR: --mps-operator=")]
    assert text in line


def test_the_children_have_it_and_the_record_says_so(
    run_stress: RunStress, pytester: pytest.Pytester
) -> None:
    ran = run(
        run_stress,
        pytester,
        "linalg.svd=mypkg:right",
        step="x * 2 if torch.linalg.svd.__module__ == 'mypkg' else 1 / 0",
    )
    assert ran.result.ret == 0
    # In the references as well, which is why a scenario must know what is right by itself: the svd ones do.
    assert "mps: torch.linalg.svd is mypkg:right in all scenarios" in ran.text
    (settings,) = [one["settings"] for one in ran.records if one["kind"] == "run"]
    assert settings["operators"] == [{"target": "linalg.svd", "module": "mypkg", "function": "right"}]
    commands = [one["command"] for one in ran.records if one["kind"] == "attempt_start"]
    assert all("--mps-operator=linalg.svd=mypkg:right" in one for one in commands)


@pytest.mark.parametrize("operator", ["linalg.svd=mypkg:svd", "mypkg:patch"])
def test_a_racy_svd_is_found_and_a_right_one_passes(
    run_stress: RunStress, pytester: pytest.Pytester, operator: str
) -> None:
    pytester.makepyfile(mypkg=MYPKG)
    _copy_scenario(pytester)
    item = "scenarios/svd.py::SvdFullMatrices[t4]"
    how = ("--mps-attempts=6", "--mps-seed=3", "--mps-perturb=high", "--mps-trace-modules=mypkg")
    ran = run_stress("", f"--mps-operator={operator}", *how, item)
    assert ran.result.ret == 1
    assert "MISMATCH" in ran.text
    assert "the product of the factors and the matrix are" in ran.text


def test_another_sign_is_as_right(run_stress: RunStress, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(mypkg=MYPKG)
    operator = "--mps-operator=linalg.svd=mypkg:right"
    _copy_scenario(pytester)
    how = ("--mps-attempts=1", "--mps-seed=3", "-k", "float32 or complex64")
    ran = run_stress("", operator, *how, "scenarios/svd.py")
    assert ran.result.ret == 0
    assert "PASSED" in ran.text
