"""Exported files: every shipped scenario gives one that is whole, and those that are run here pass without this package."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stress.commands import CommandError
from stress.commands.export.files import script
from stress.commands.export.files import unittest_file
from stress.commands.export.subject import CoreBlock
from stress.commands.export.subject import ExportSpec
from stress.commands.export.subject import expression
from stress.commands.replay.resolve import resolve_name
from stress.model.shipped import shipped_scenarios
from stress.scenario.file import load_scenario
from tests.replay.test_replay import cli

ROOT = Path(__file__).parent.parent.parent
REFUSED = ("scenarios/fork.py::SpawnWhileActive",)
"""Its child processes load the simulated device through this package."""


def shipped() -> list[str]:
    """Return FILE::CLASS of every class at the top level of the scenario files, by their text."""
    return [
        f"scenarios/{path.name}::{node.name}"
        for path in sorted(shipped_scenarios().glob("*.py"))
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def subject(text: str, *, readback: str = "end", perturb: str = "none") -> ExportSpec | None:
    try:
        what = resolve_name(text, ROOT, None)
    except CommandError:
        return None  # a helper class, such as the models of models.py; how many are left is asserted below
    scenario = load_scenario(what.ref, threads=what.threads, device_type="mps")
    return ExportSpec(scenario, what.threads, None, "mps", readback=readback, perturb=perturb, env=what.env)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write every shipped scenario as a script and as a test, with readbacks and perturbations in turn."""
    folder = tmp_path_factory.mktemp("exported")
    readbacks, modes = ("end", "every", "digest", "every-4th"), ("none", "op", "line", "opcode")
    for number, text in enumerate(shipped()):
        one = subject(text, readback=readbacks[number % 4], perturb=modes[number // 4 % 4])
        if one is not None and text not in REFUSED:
            name = text.replace("/", "_").replace(".py::", "_")
            (folder / f"{name}_script.py").write_text(script(one))
            (folder / f"{name}_test.py").write_text(unittest_file(one))
    return folder


class TestShipped:
    def test_all_of_them_are_written(self, written: Path) -> None:
        assert len(list(written.glob("*_test.py"))) > 80

    def test_no_name_is_missing_and_none_is_left_over(self, written: Path) -> None:
        """As pyflakes sees it: undefined names, unused imports, redefinitions, syntax."""
        pytest.importorskip("ruff")
        command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F,E9", str(written)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
        assert done.returncode == 0, done.stdout

    def test_none_imports_this_package(self, written: Path) -> None:
        for path in written.glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not [one for one in names if one.partition(".")[0] == "stress"], path.name


FORBID = "import runpy, sys; sys.modules['stress'] = None; sys.argv = [{path!r}]; runpy.run_path({path!r}, run_name='__main__')"


class TestRun:
    @pytest.mark.parametrize(
        "text",
        [
            "scenarios/linear.py::PerThreadLinear",
            "scenarios/parallel_ops.py::TwoThenFourThreads",
            "scenarios/events.py::EventAcrossThreads",
            "scenarios/random_numbers.py::DefaultGenerator",
            "scenarios/op_sequences.py::RandomSequences",
        ],
    )
    def test_on_the_cpu_without_this_package(self, tmp_path: Path, text: str) -> None:
        """State per thread, waves, roles that wait for each other, a comparison of its own, operators that were drawn."""
        path = str(tmp_path / "test_it.py")
        done = cli(ROOT, "export", text, "--device=cpu", "--threads=4", "--iterations=3", "-o", path)
        assert done.returncode == 0
        ran = subprocess.run(
            [sys.executable, "-c", FORBID.format(path=path)],
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert "Ran 1 test" in ran.stderr


class TestOfACore:
    """What ran on a PyTorch tree's own core: the file loads it and names the tree, and is for a Mac without the block."""

    def test_loads_it_and_names_the_tree(self) -> None:
        one = subject("scenarios/linear.py::SharedLinear")
        assert one is not None
        core = CoreBlock(
            "/cache/core/libmps_core_python.so", "ATen/mps of ../pytorch at 5af829b, unmodified", "delayed"
        )
        text = script(replace(one, device="core", core=core))
        assert 'DEVICE = torch.device("mps")' in text
        assert "# SIMULATED Metal below ATen/mps of ../pytorch at 5af829b, unmodified." in text
        block = text[text.index("# SIMULATED") : text.index("\n\n", text.index("# SIMULATED"))]
        assert ast.parse(block)
        assert 'torch.ops.load_library("/cache/core/libmps_core_python.so")' in block
        assert 'f"completion=delayed;seed={random.getrandbits(62)}"' in block
        assert {"import ctypes", "import random"} <= set(text.splitlines())


class TestPauses:
    def test_every_operator_is_looked_up_before_the_threads(self, tmp_path: Path) -> None:
        """Two threads that do it at once, below a dispatch mode, make torch crash: 11 of 40 runs of one script.

        The module that a mode imports is imported before, too: a script's 20 s were up while four threads imported it.
        """
        one = subject("scenarios/linear.py::SharedLinear", perturb="op")
        assert one is not None
        (tmp_path / "script.py").write_text(script(replace(one, device="cpu", iterations=1)))
        check = """if 1:
            import script, sys, torch
            def start(thread):
                print("mkldnn_convolution" in vars(torch.ops.aten), "torch._dynamo" in sys.modules)
                sys.exit()
            assert "mkldnn_convolution" not in vars(torch.ops.aten), "torch looks it up itself: take another one"
            script.threading.Thread.start = start
            script.main()
        """
        ran = subprocess.run(
            [sys.executable, "-c", check],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        assert ran.stdout == "True True\n", ran.stdout + ran.stderr


class TestValues:
    def test_short_ones(self) -> None:
        torch = pytest.importorskip("torch")
        assert expression(torch.float16, "dtype") == "torch.float16"
        assert expression("a b", "kind") == "'a b'"
        assert expression(None, "x") == "None"

    def test_one_that_has_no_text(self) -> None:
        with pytest.raises(CommandError, match="parameter x is <object object"):
            expression(object(), "x")


class TestRefused:
    @pytest.mark.parametrize("text", REFUSED)
    def test_code_that_imports_this_package_while_it_runs(self, text: str) -> None:
        one = subject(text)
        assert one is not None
        with pytest.raises(CommandError, match="inside a function: what is exported stands alone"):
            script(one)

    @pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")
    def test_what_the_simulated_device_cannot_do(self) -> None:
        """In one line: the script would not say why it dies."""
        done = cli(ROOT, "export", "scenarios/torch_compile.py::CompiledInductor", "--device=sim")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()[-1:]
        assert line.startswith(
            "mps-stress export: scenarios/torch_compile.py::CompiledInductor[t8] needs inductor"
        )
        assert "_mps_get_core_count" in line
        assert line.endswith(
            "leave --device=sim out for a file that runs on a Mac, or give --device=cpu or cuda"
        )
        assert done.stdout == ""

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["scenarios/linear.py::Nothing"], "has no Nothing"),
            (["scenarios/none.py::A"], "no scenarios/none.py in "),
            (["scenarios/linear.py::SharedLinear[float8-t8]"], "linear.py has SharedLinear[float32-t8]"),
            (["scenarios/linear.py::SharedLinear", "--threads=0"], "--threads=0: expected a whole number"),
        ],
    )
    def test_with_a_sentence(self, arguments: list[str], told: str) -> None:
        done = cli(ROOT, "export", *arguments)
        assert done.returncode == 2
        assert told in done.stderr
        assert "Traceback" not in done.stderr
