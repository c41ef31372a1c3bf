"""What becomes an item: which files, which classes, which ids, and what is said about wrong declarations."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from stress.model.shipped import shipped_scenarios
from tests import warm

HEAD = "from stress import ProcessScenario, Scenario, current\n"
STEP = "    iterations = 1\n    def step(self, state, x):\n        import torch\n        return torch.ones(2) * current().thread_index\n"


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = warm.command("pytest", "-p", "no:cacheprovider", "-p", "no:run-parallel", *args)
    given = [] if any(one.startswith("--mps-threads") for one in args) else ["--mps-threads=2"]
    return subprocess.run(
        [*command, "--mps-device=cpu", *given],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )


def ids(folder: Path, *args: str) -> list[str]:
    """Return the collected ids, which is all that such a run may print."""
    done = run(folder, "--collect-only", "-q", *args)
    assert done.returncode == 0, done.stdout + done.stderr
    listed, _, rest = done.stdout.partition("\n\n")
    assert re.fullmatch(r"\d+ tests? collected in .*\n", rest) or "deselected" in rest, done.stdout
    return listed.splitlines()


class TestFiles:
    def test_without_arguments_are_those_of_the_local_folder(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {
                "scenarios/one.py": HEAD + "class One(Scenario):\n" + STEP,
                "scenarios/deep/two.py": HEAD + "class Two(Scenario):\n" + STEP,
                "scenarios/__init__.py": "",
                "elsewhere/three.py": HEAD + "class Three(Scenario):\n" + STEP,
                "tests/test_four.py": "def test_four():\n    pass\n",
            },
        )
        assert ids(tmp_path) == ["scenarios/one.py::One[t2]"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "scenarios", "tests"]

    def test_without_a_local_folder_are_the_shipped_ones(self, tmp_path: Path) -> None:
        listed = ids(tmp_path, "--mps-profile=full")
        shipped = {path.name for path in shipped_scenarios().glob("*.py")}
        assert {Path(one.partition("::")[0]).name for one in listed} == shipped
        assert not list(tmp_path.iterdir())

    def test_may_be_given_by_any_path(self, tmp_path: Path) -> None:
        write(tmp_path, {"path/to/my_scenarios.py": HEAD + "class Mine(Scenario):\n" + STEP})
        assert ids(tmp_path, "path/to/my_scenarios.py") == ["path/to/my_scenarios.py::Mine[t2]"]
        one = "path/to/my_scenarios.py::Mine[t4]"
        assert ids(tmp_path, one, "--mps-threads=1,4") == [one]

    def test_may_be_ordinary_test_files_too(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {"test_both.py": HEAD + "class Mine(Scenario):\n" + STEP + "def test_plain():\n    pass\n"},
        )
        assert ids(tmp_path, "test_both.py") == ["test_both.py::Mine[t2]", "test_both.py::test_plain"]

    @pytest.mark.parametrize("mode", ["prepend", "importlib"])
    def test_run_under_every_import_mode(self, tmp_path: Path, mode: str) -> None:
        """With siblings, relative imports, and one base name in two folders."""
        relative = (
            HEAD
            + "from .helper import VALUE\nclass Relative(Scenario):\n"
            + STEP.replace("torch.ones(2)", "torch.full((2,), VALUE)")
        )
        sibling = (
            HEAD
            + "from helper_beside import VALUE\nclass Sibling(Scenario):\n"
            + STEP.replace("torch.ones(2)", "torch.full((2,), VALUE)")
        )
        write(
            tmp_path,
            {
                "package/__init__.py": "",
                "package/scenarios/__init__.py": "",
                "package/scenarios/helper.py": "VALUE = 2.0\n",
                "package/scenarios/subject.py": relative,
                "other/__init__.py": "",
                "other/scenarios/__init__.py": "",
                "other/scenarios/subject.py": HEAD + "class Other(Scenario):\n" + STEP,
                "plain/scenarios/helper_beside.py": "VALUE = 3.0\n",
                "plain/scenarios/alone.py": sibling,
            },
        )
        files = ["package/scenarios/subject.py", "other/scenarios/subject.py"]
        if mode != "importlib":  # it puts no folder on sys.path: siblings cannot be imported in pytest either
            files.append("plain/scenarios/alone.py")
        done = run(tmp_path, f"--import-mode={mode}", "--mps-attempts=1", *files)
        assert done.returncode == 0, done.stdout
        assert f"{len(files)} passed" in done.stdout


class TestClasses:
    def test_that_are_helpers_or_imported_are_left_out(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {
                "scenarios/base.py": HEAD + "class Base(Scenario):\n" + STEP,
                "scenarios/subject.py": HEAD
                + "from base import Base\n"
                + "class _Helper(Base):\n    pass\n"
                + "class OptedOut(Base):\n    __test__ = False\n"
                + "class Inherits(OptedOut):\n    pass\n"
                + "class Program(ProcessScenario):\n    def body(self, device):\n        pass\n"
                + "class NotOurs:\n    def step(self):\n        pass\n",
            },
        )
        assert ids(tmp_path, "scenarios/subject.py") == [
            "scenarios/subject.py::Inherits[t2]",
            "scenarios/subject.py::Program[t2]",
        ]

    def test_give_an_item_for_each_combination(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {
                "scenarios/subject.py": HEAD
                + "import torch\nclass Many(Scenario):\n"
                + "    params = {'dtype': [torch.float32, torch.bool], 'size': [8, (2, 3)]}\n"
                + "    env = [{}, {'A_B': 'c d'}]\n"
                + STEP
            },
        )
        combined = [
            f"{dtype}-{size}{env}"
            for dtype in ("float32", "bool")
            for size in ("8", "size")
            for env in ("", "-A_B=c_d")
        ]
        listed = ids(tmp_path, "--mps-threads=4,2")
        assert listed == [f"scenarios/subject.py::Many[{one}-t{n}]" for n in (4, 2) for one in combined]

    def test_give_distinct_ids_also_for_values_that_look_alike(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {
                "scenarios/subject.py": HEAD
                + "import torch\nclass Alike(Scenario):\n"
                + "    params = {'shape': [(1,), (2,)], 'f': [torch.relu, lambda x: x, lambda x: -x], 't': ['a b', 'a/b', '']}\n"
                + "    env = [{'A': 'x y'}, {'A': 'x/y'}]\n"
                + STEP
            },
        )
        listed = ids(tmp_path)
        assert len(listed) == len(set(listed)) == 36
        assert "scenarios/subject.py::Alike[shape.0-relu-a_b.0-A=x_y.0-t2]" in listed

    def test_are_selected_as_usual(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            {
                "scenarios/subject.py": HEAD
                + "class First(Scenario):\n    params = {'n': [1, 2]}\n"
                + STEP
                + "class Second(Scenario):\n"
                + STEP,
                "test_plain.py": "def test_plain():\n    pass\n",
            },
        )
        assert ids(tmp_path, "-k", "First and not 2-") == ["scenarios/subject.py::First[1-t2]"]
        assert ids(tmp_path, "scenarios", "test_plain.py", "-m", "mps_stress") == [
            "scenarios/subject.py::First[1-t2]",
            "scenarios/subject.py::First[2-t2]",
            "scenarios/subject.py::Second[t2]",
        ]
        assert ids(tmp_path, "scenarios/subject.py::Second[t2]") == ["scenarios/subject.py::Second[t2]"]


WRONG = {
    # class body -> words
    "NoStep(Scenario)|pass": r"it has no step\(\): write one, or start a helper class's name with an underscore",
    "NoBody(ProcessScenario)|pass": r"it has no body\(\)",
    "Capability(Scenario)|requires = ['teleport']": "it requires 'teleport'; capabilities are .*streams",
    "Text(Scenario)|requires = 'streams'": r"requires must be a list, as in \['streams'\]",
    "Word(Scenario)|acceptable = {'slow': 'we know'}": "acceptable names 'slow'; acceptable verdicts are unordered, unkept, mismatch",
    "Unsure(Scenario)|acceptable = {'inconclusive': 'we hope'}": "acceptable names 'inconclusive'; acceptable verdicts are unordered, unkept, mismatch",
    "Bare(Scenario)|acceptable = ['oom']": "acceptable must be a mapping from a verdict to the reason",
    "Taken(Scenario)|params = {'setup': [1]}": "parameter 'setup' is an attribute of Scenario itself",
    "Threads(Scenario)|params = {'threads': [1]}": "parameter 'threads' is an attribute of Scenario itself",
    "Spaced(Scenario)|params = {'a b': [1]}": "parameter 'a b' cannot be the name of an attribute",
    "Nothing(Scenario)|params = {'size': []}": "parameter 'size' needs a list of values, at least one",
    "One(Scenario)|params = {'size': 8}": "parameter 'size' needs a list of values, at least one",
    "Letters(Scenario)|params = {'mode': 'same'}": "parameter 'mode' needs a list of values, at least one",
    "Pairs(Scenario)|params = [('size', [1])]": "params must be a mapping, as in ",
    "Number(Scenario)|env = {'KNOB': 1}": "env must be a mapping of texts, as in ",
    "Steps(Scenario)|iterations = '5'": "iterations is '5': expected a whole number, at least 1",
    "Missing(Scenario)|iterations = None": "iterations is None: expected a whole number, at least 1",
    "Zero(Scenario)|iterations = 0": "iterations is 0: expected a whole number, at least 1",
    "Few(Scenario)|threads_min = 'a'": "threads_min is 'a': expected a whole number, at least 1",
    "Many(Scenario)|threads_max = 2.5": "threads_max is 2.5: expected a whole number, at least 1",
    "Between(Scenario)|threads_min, threads_max = 4, 2": "threads_max is 2, below threads_min, which is 4",
    "Planted(Scenario)|canary = 'no'": "canary is 'no': expected True or False",
    "Wave(Scenario)|waves = [8, 50]": r"waves is \[8, 50\]: expected a list of pairs, as in ",
    "Require(Scenario)|requires = None": "requires is None: expected a list",
    "Source(Scenario)|origin = 'an issue'": r"origin must be a list, as in \['an issue'\]",
    "Environment(Scenario)|env = None": "env is None: expected a mapping of texts, or a list of them",
    "Exempt(Scenario)|exempt = {'all': 'it is fine'}": "exempt names 'all'; checks are 'no device work' and 'equal outputs'",
    "Reason(Scenario)|exempt = {'equal outputs': ''}": "exempt needs a reason for 'equal outputs'",
    "Chance(Scenario)|unordered = ['hazard=WAW *']": "unordered must be a mapping, as in",
    "Chance(Scenario)|unordered = {'kind=reuse': 'known'}": "unordered has 'kind=reuse': expected the last line of an order finding",
    "Chance(Scenario)|unordered = {'hazard=WAW *': ' '}": r"unordered needs a reason for 'hazard=WAW \*'",
    "Letter(Scenario)|iteration = 2": "Scenario has no iteration, and nothing here reads it: did you mean iterations?",
    "Singular(Scenario)|thread_min = 4": "Scenario has no thread_min, and nothing here reads it: did you mean threads_min?",
    "Order(Scenario)|min_threads = 4": "Scenario has no min_threads, and nothing here reads it: did you mean threads_min?",
    "Method(Scenario)|def make_inputs(self, generator): pass": "Scenario has no make_inputs, .* did you mean make_input?",
    "Given(Scenario)|threads = 4": "threads is set for each item, so a value in the class has no effect: --mps-threads",
    "Roles(Scenario)|steps = []": r"steps is \[\]: expected a method",
    "Program(ProcessScenario)|iterations = 5\n    def body(self, device): pass": "iterations is an attribute of Scenario and has no effect",
    "Needs(Scenario)|def __init__(self, size): pass": "its __init__ needs 'size': a scenario is made without arguments",
}


@pytest.fixture(scope="module")
def wrong_output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One run over all of them, a right one last."""
    folder = tmp_path_factory.mktemp("wrong")
    for number, text in enumerate(WRONG):
        head, _, body = text.partition("|")
        step = "" if head.startswith("No") and "pass" in body else STEP
        if "iterations =" in body:
            step = step.replace("    iterations = 1\n", "")
        write(folder, {f"scenarios/wrong{number:02}.py": f"{HEAD}class {head}:\n    {body}\n{step}"})
    write(folder, {"scenarios/right.py": HEAD + "class Right(Scenario):\n" + STEP})
    done = run(folder, "--continue-on-collection-errors", "--mps-attempts=1")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    return done.stdout


class TestAWrongDeclaration:
    @pytest.mark.parametrize("text", WRONG)
    def test_is_said_in_one_line_with_file_and_class(self, wrong_output: str, text: str) -> None:
        name = text.partition("(")[0]
        number = list(WRONG).index(text)
        block = re.search(
            rf"ERROR collecting scenarios/wrong{number:02}.py _+\n(.*?)\n[_=]", wrong_output, re.DOTALL
        )
        assert block is not None, wrong_output
        (line,) = block[1].splitlines()
        assert re.match(rf"\S*scenarios/wrong{number:02}.py: {name}: {WRONG[text]}", line), line

    def test_stops_nothing_else(self, wrong_output: str) -> None:
        assert f"1 passed, {len(WRONG)} errors" in wrong_output


class TestAnOwnAttribute:
    def test_is_no_error_when_it_is_read_or_like_none_of_ours(self, tmp_path: Path) -> None:
        body = (
            "class Own(Scenario):\n"
            "    size, tolerance = 4, 0.1\n"
            "    thread = wave = 2\n"
            "    param = 3\n"
            "    class Row:\n        pass\n"
            "    def setup(self, device):\n        return self.thread, getattr(self, 'param')\n"
            "    @property\n    def iterations(self):\n        return self.wave\n"
        )
        step = STEP.replace("    iterations = 1\n", "")
        write(tmp_path, {"scenarios/subject.py": HEAD + body + step})
        assert ids(tmp_path) == ["scenarios/subject.py::Own[t2]"]


class TestADryRun:
    FILE = {"scenarios/subject.py": HEAD + "class Quick(Scenario):\n" + STEP}
    # Any child process, and any that has been waited for, shows in the operating system's account.
    CONFTEST = """
import resource
def pytest_unconfigure():
    print("children's seconds:", resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime)
"""

    @pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--setup-only"])
    def test_starts_no_process_and_writes_nothing(self, tmp_path: Path, option: str) -> None:
        write(tmp_path, {**self.FILE, "conftest.py": self.CONFTEST})
        done = run(tmp_path, option)
        assert done.returncode == 0, done.stdout
        assert "children's seconds: 0.0" in done.stdout
        assert "Quick" in done.stdout
        assert "mps: records" not in done.stdout
        assert sorted(p.name for p in tmp_path.iterdir() if p.name != "__pycache__") == [
            "conftest.py",
            "scenarios",
        ]
