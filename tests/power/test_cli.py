"""`mps-stress`: help without torch, bad input as one sentence with status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import power_learn
from stress.commands import cli
from stress.device.sim.zoo import FAULTS


def run(
    *arguments: str, code: str = "from stress.commands.cli import main; import sys; sys.exit(main())"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=800, check=False
    )


class TestHelp:
    @pytest.mark.parametrize("arguments", [["--help"], ["power", "--help"]])
    def test_needs_no_torch_and_no_pytest(self, arguments: list[str]) -> None:
        code = (
            "import sys, atexit\n"
            "atexit.register(lambda: print(sorted({'torch', 'pytest'} & set(sys.modules)), file=sys.stderr))\n"
            "from stress.commands.cli import main\n"
            "sys.exit(main())"
        )
        done = run(*arguments, code=code)
        assert done.returncode == 0
        assert done.stderr == "[]\n"
        assert "power" in done.stdout

    def test_of_one_command_imports_no_other(self) -> None:
        code = (
            "import sys\n"
            "from stress.commands import cli\n"
            "cli._parse(sys.argv[1:])\n"
            "print(*sorted(one for one in sys.modules if one.startswith('stress.commands.') and one.endswith('.options')))"
        )
        done = run("core", "build", "--pytorch=tree", code=code)
        assert done.stdout == "stress.commands.core.options\n", done.stderr

    def test_every_command_says_in_one_line_what_it_does(self) -> None:
        for name, module in cli.command_modules():
            first = (module.__doc__ or "").partition("\n")[0]
            assert first.endswith((".", "?")), name
            assert first in " ".join(run("--help").stdout.split())


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--faults=nothing"], "unknown fault 'nothing'; known are pool_counter_unlocked, "),
            (["--seconds=0"], "--seconds=0: expected a positive number"),
            (["--seconds=nan"], "--seconds=nan"),
            (["--workers=0"], "--workers=0: expected a whole number of at least 1"),
            (["--threads=0"], "--threads=0: expected a whole number of at least 1"),
            (["--threads=9999"], "at most 1024"),
            (["--seed=-1"], "--seed=-1: expected a whole number from 0"),
            (["--probability=2"], "--probability=2: expected numbers above 0 and at most 1"),
            (["--probability=0.01,x"], "--probability=0.01,x"),
        ],
    )
    def test_is_one_sentence_and_status_2(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
    ) -> None:
        assert cli.main(["power", *arguments]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.startswith("mps-stress power: ")
        assert told.err.count("\n") == 1
        assert message in told.err

    def test_an_unknown_command_is_status_2(self) -> None:
        for arguments in (["nothing"], ["power", "--against=other"], ["power", "--nothing"]):
            with pytest.raises(SystemExit) as caught:
                cli.main(arguments)
            assert caught.value.code == 2

    def test_a_folder_that_is_no_run_cannot_be_learned_from(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        assert power_learn.run(["learn", str(tmp_path)]) == 2
        assert "allocation.toml cannot be read" in capsys.readouterr().err
        assert power_learn.run(["learn", "/nothing/there"]) == 2
        assert "/nothing/there" in capsys.readouterr().err

    def test_what_cannot_be_explored_is_refused_as_power_refuses_it(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert power_learn.run(["explore", "--attempts=x"]) == 2
        assert "--attempts=x: expected a whole number" in capsys.readouterr().err
        assert power_learn.run(["explore", "--faults=nothing"]) == 2
        assert "unknown fault 'nothing'" in capsys.readouterr().err
        assert power_learn.run(["explore", "--workers=2"]) == 2
        assert "--workers=2: attempts run one at a time here" in capsys.readouterr().err

    def test_an_unusable_allocation_is_told_before_anything_is_built(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        path = tmp_path / "a.toml"
        path.write_text("[[entry]]\nscenario = 'linear.py::Nothing'\n")
        assert cli.main(["power", f"--allocation={path}"]) == 2
        assert "has no Nothing" in capsys.readouterr().err


def test_all_faults_are_the_default() -> None:
    from stress.commands.power.options import parse

    options = parse(cli.make_parser().parse_args(["power"]))
    assert options.faults == FAULTS
    assert options.probabilities == (0.01, 0.1, 0.001)
