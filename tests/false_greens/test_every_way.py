"""Every known way to a false green, tried: what could not have failed is refused, fails, or is said not to be shown.

A way has one row in docs/false-greens.md. Most are tried here, by files and a command as a user has them; the others,
which need a compiler or made records, by the test that the row names.
"""

from __future__ import annotations

import re
import subprocess
import textwrap
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import pytest

from tests import warm
from tests.acceptance import PROLOGUE

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "false-greens.md"

FAILED, USAGE, NOTHING = 1, 4, 5
MISSPELT = 2
"""pytest's own status of an error while it collects."""
GREEN_BUT_SAID = 0
"""The exit status is 0, and a line says what that is not worth."""
THREADS = "--mps-threads=4"
ALL = (THREADS, "--mps-all-tests")
ONCE = ("--mps-attempts=1",)


@dataclass(frozen=True)
class Way:
    """One way: the first cell of its row, the files, the arguments of pytest, and what must come of it."""

    title: str
    files: dict[str, str]
    args: tuple[str, ...]
    said: tuple[str, ...]
    """Regular expressions that the output holds."""
    exit_status: int
    variables: dict[str, str] = field(default_factory=dict)


def scenario(body: str, name: str = "scenarios/mine.py") -> dict[str, str]:
    return {name: PROLOGUE + textwrap.dedent(body)}


def test(body: str, **files: str) -> dict[str, str]:
    return {"test_it.py": textwrap.dedent(body), **files}


test.__test__ = False  # type: ignore[attr-defined]

STEP = """
    iterations = 2
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
    def step(self, state, x):
        return x * 2
"""
MINE = f"class Mine(Scenario):{STEP}"
FAILS = {"tests/test_fails.py": "def test_fails():\n    assert False\n"}

WHAT_IS_COLLECTED = (
    Way(
        "An option in the ini file replaces your tests",
        {"pytest.ini": "[pytest]\ntestpaths = tests\nmps_threads = 4\n", **FAILS},
        ("--mps-device=cpu",),
        ("1 failed", "that come with mps-stress are not collected, because testpaths names tests"),
        FAILED,
    ),
    Way(
        "`addopts` replaces your tests",
        {"pytest.ini": f"[pytest]\naddopts = {THREADS}\n", **FAILS},
        ("--mps-device=cpu",),
        ("1 failed", "because --mps-threads comes from a file or a variable"),
        FAILED,
    ),
    Way(
        "Scenarios run alone, and your tests do not",
        {**scenario(MINE), **FAILS},
        (THREADS, *ONCE),
        ("the scenarios in scenarios are collected; tests/ is not",),
        GREEN_BUT_SAID,
    ),
    Way(
        "A folder of scenarios under another name",
        {**scenario(MINE, "mps/mine.py"), **FAILS, "tests/test_fine.py": "def test_fine(): pass\n"},
        (THREADS, "mps", "tests/test_fine.py"),
        (r"1 file with scenarios was not collected \(mps/mine.py\)",),
        GREEN_BUT_SAID,
    ),
    Way(
        "Every scenario is skipped",
        scenario(f"class Mine(Scenario):\n    requires = ['batch_queue']{STEP}"),
        (THREADS,),
        ("every scenario was skipped: nothing was tested",),
        NOTHING,
    ),
    Way(
        "Fewer threads than the scenario needs",
        scenario(f"class Mine(Scenario):\n    threads_min = 2{STEP}"),
        ("--mps-threads=1", "-rs"),
        ("needs at least 2 threads", "every scenario was skipped: nothing was tested"),
        NOTHING,
    ),
    Way(
        "The time budget leaves items out",
        scenario(MINE),
        (THREADS, "--mps-seconds=0.000001", "-rs"),
        (r"time budget spent \(--mps-seconds=1e-06\): not run|time budget: fewer attempts",),
        NOTHING,
    ),
    Way(
        "An option without the plugin",
        test("def test_fine(): pass"),
        ("--mps-attempts=100",),
        ("does nothing without --mps-threads: add --mps-threads=8",),
        USAGE,
    ),
)
ORDINARY = (
    Way(
        "Ordinary tests run once, on one thread",
        test("def test_fine(): pass"),
        (THREADS, "test_it.py"),
        ("1 ordinary test ran once, on one thread: --mps-all-tests or @pytest.mark.mps_stress runs it",),
        GREEN_BUT_SAID,
    ),
    Way(
        "A marked test runs once, on one thread",
        test("import pytest\n@pytest.mark.mps_stress\ndef test_fine(): pass"),
        (),
        ("1 test marked mps_stress ran once, on one thread: --mps-threads=8 runs it from threads",),
        GREEN_BUT_SAID,
    ),
    Way(
        "A test that cannot run from threads",
        test(
            '"""\n>>> 1\n1\n"""\nasync def test_it(): pass\nimport pytest\n@pytest.mark.mps_stress(threads=1)\ndef test_one(): pass'
        ),
        (*ALL, "--doctest-modules"),
        (
            "not threaded: .*DoctestItem is no test function",
            "not threaded: .*async function",
            "not threaded: .*one thread",
        ),
        FAILED,
    ),
    Way(
        "A test that fails when it is repeated",
        test("CALLS = []\ndef test_it():\n    CALLS.append(1)\n    assert len(CALLS) < 10"),
        ALL,
        ("control: .* the failure does not need the threads",),
        FAILED,
    ),
    Way(
        "A skip in one thread hides a failure in another",
        test(
            "import pytest\ndef test_it(thread_index):\n    if thread_index:\n        pytest.skip('no')\n    assert False"
        ),
        ALL,
        ("fails on one thread, too: assert False",),
        FAILED,
    ),
    Way(
        "Some threads skip and the others pass",
        test("import pytest\ndef test_it(thread_index):\n    if thread_index:\n        pytest.skip('no')"),
        ALL,
        ("24 of 32 calls skipped .* either all calls of a test skip or none does",),
        FAILED,
    ),
    Way(
        "A body that never runs",
        test("def test_it():\n    async def body(): assert False\n    return body()"),
        ALL,
        ("fails on one thread, too: Failed: async def functions are not natively supported",),
        FAILED,
    ),
    Way(
        "An exception that ends a thread and no test",
        test("import sys\ndef test_it(thread_index):\n    if thread_index == 2:\n        sys.exit(0)"),
        ALL,
        (r"raised SystemExit\(0\) in thread 2, iteration 0: in a thread it ends only the thread",),
        FAILED,
    ),
    Way(
        "A thread that the test starts dies",
        test(
            "import threading\ndef test_it():\n    one = threading.Thread(target=lambda: 1 / 0)\n    one.start()\n    one.join()"
        ),
        ALL,
        ("that the body started .* raised ZeroDivisionError",),
        FAILED,
    ),
    Way(
        "Calls that never meet",
        test("import threading\nLOCK = threading.Lock()\ndef test_it():\n    with LOCK:\n        pass"),
        ALL,
        (r"1 ordinary test, 160 calls from threads; \d+% of the calls overlapped with another thread's",),
        GREEN_BUT_SAID,
    ),
)
PERTURBATION = (
    Way(
        "The race is in code that is not perturbed",
        test(
            "from mypkg import claim\ndef test_it():\n    token = object()\n    assert claim(token) is token",
            **{
                "mypkg/__init__.py": "_owner = None\ndef claim(token):\n    global _owner\n    _owner = token\n    return _owner\n"
            },
        ),
        ("--mps-threads=8", "--mps-all-tests", "--mps-iterations=64", "--mps-perturb=high"),
        (
            "perturbed lines: files of this project; not those of installed packages: --mps-trace-modules=NAME",
            "1 failed",
        ),
        FAILED,
    ),
    Way(
        "A module to perturb that is not there",
        test("def test_fine(): pass"),
        (*ALL, "--mps-trace-modules=mypkg"),
        ("--mps-trace-modules=mypkg: there is no module mypkg",),
        USAGE,
    ),
    Way(
        "Coverage or a debugger keeps perturbation out",
        test(
            """
            import sys, threading
            threading.settrace(lambda *_: None)
            if sys.version_info >= (3, 12):
                for tool in (3, 4):
                    sys.monitoring.use_tool_id(tool, "another")
            def test_fine(): pass
            """
        ),
        ALL,
        (
            "note, 1 item: not perturbed: (the thread has a trace function already|sys.monitoring has no free tool id)",
        ),
        GREEN_BUT_SAID,
    ),
    Way(
        "A seeded fault that cannot strike",
        scenario(MINE),
        (THREADS, "--mps-device=sim", "--mps-sim-faults=commit_twice", "--mps-sim-design=fork"),
        ("--mps-sim-design=fork: commit_twice is a bug of design upstream, and needs that design",),
        USAGE,
    ),
    Way(
        "A seeded fault on a device without any",
        scenario(MINE),
        (THREADS, "--mps-sim-faults=commit_twice"),
        ("this is for the simulated device alone, not for cpu",),
        USAGE,
    ),
)
VALUES = (
    Way(
        "No planted fault was run",
        scenario(MINE),
        (THREADS, *ONCE),
        (
            "no planted fault was run, so nothing shows that one would have been found: add .*scenarios/canary.py",
        ),
        GREEN_BUT_SAID,
    ),
    Way(
        "A planted fault that is not found",
        scenario(f"class Mine(Scenario):\n    canary = True{STEP}"),
        (THREADS, *ONCE),
        ("canary not found in 1 attempt: the planted fault was not detected",),
        FAILED,
    ),
    Way(
        "Few attempts",
        scenario(MINE),
        (THREADS, *ONCE),
        ("0 of 1 attempt failed; a failure rate below 95.0 % cannot be excluded",),
        GREEN_BUT_SAID,
    ),
    Way(
        "One thread alone is wrong already",
        scenario(f"class Mine(Scenario):{STEP}".replace("return x * 2", "raise ValueError('alone')")),
        (THREADS, *ONCE),
        ("one thread alone raises ValueError: alone",),
        FAILED,
    ),
    Way(
        "Values that depend on the order",
        scenario(
            """
            class Mine(Scenario):
                iterations = 4
                def setup(self, device):
                    return [0]
                def make_input(self, generator):
                    return torch.randint(100, (4,), generator=generator)
                def step(self, state, x):
                    state[0] += 1
                    return x + state[0]
            """
        ),
        (THREADS, *ONCE),
        ("INCONCLUSIVE", "order-dependent"),
        FAILED,
    ),
    Way(
        "A verdict that the scenario declares acceptable",
        scenario(
            """
            class Mine(Scenario):
                acceptable = {"race": "known"}
                iterations = 2
                def make_input(self, generator):
                    return torch.randn(4, generator=generator)
                def step(self, state, x):
                    if threading.active_count() > 2:
                        raise ValueError("from threads")
                    return x * 2
            """
        ),
        (THREADS, *ONCE),
        ("Mine.* 1/1 .*acceptable", "race is acceptable: known"),
        GREEN_BUT_SAID,
    ),
)
COMPILED = (
    Way(
        "`torch.compile` that compiles nothing",
        scenario(
            f"class Mine(Scenario):\n    def setup(self, device):\n        return torch.compile(torch.sin){STEP}"
        ),
        (THREADS, *ONCE),
        ("INCONCLUSIVE", "torch.compile was called, but no frame was compiled: the code ran eagerly"),
        FAILED,
    ),
)


def cannot_fail(body: str, kind: str = "torch.randn(4, generator=generator)") -> dict[str, str]:
    return scenario(
        f"""
        class Mine(Scenario):
            iterations = 2
            def make_input(self, generator):
                return {kind}
            def step(self, state, x):
                {body}
        """
    )


CANNOT_FAIL = (
    Way(
        "No step runs an operator on the device",
        cannot_fail("return x.view(2, 2)"),
        (THREADS, *ONCE),
        ("INCONCLUSIVE", r"no step ran an operator on the device \(cpu\)"),
        FAILED,
    ),
    Way(
        "A step that computes with no tensor",
        cannot_fail("return len(x)", "[1] * int(torch.randint(9, (1,), generator=generator))"),
        (THREADS, *ONCE),
        ("INCONCLUSIVE", "no step ran an operator on the device"),
        FAILED,
    ),
    Way(
        "All threads get equal inputs",
        cannot_fail("return x * 2", "torch.ones(4)"),
        (THREADS, *ONCE),
        ("INCONCLUSIVE", "draw x from `generator` in make_input"),
        FAILED,
    ),
    Way(
        "The output is constant, or every error is caught",
        cannot_fail("x * 2; return 0"),
        (THREADS, *ONCE),
        ("INCONCLUSIVE", "step returns the same value for all inputs"),
        FAILED,
    ),
    Way(
        "One thread is taken for a test of threads",
        scenario(MINE),
        ("--mps-threads=1", *ONCE),
        ("ONE THREAD", "1 item ran on one thread: nothing about threads was tested"),
        GREEN_BUT_SAID,
    ),
    Way(
        "A misspelt attribute keeps its default",
        scenario(f"class Mine(Scenario):\n    iteration = 100{STEP}"),
        (THREADS, *ONCE),
        ("has no iteration, and nothing here reads it: did you mean iterations?",),
        MISSPELT,
    ),
)
WAYS = (*WHAT_IS_COLLECTED, *ORDINARY, *PERTURBATION, *CANNOT_FAIL, *VALUES, *COMPILED)


def run(folder: Path, way: Way) -> subprocess.CompletedProcess[str]:
    for name, text in {"pytest.ini": "[pytest]\n", **way.files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    needs_device = any(one.startswith("--mps-threads") for one in way.args)
    device = ["--mps-device=cpu"] if needs_device and "--mps-device=sim" not in way.args else []
    plugins = ("-p", "no:cacheprovider", "-p", "no:run-parallel")
    return subprocess.run(
        warm.command("pytest", *plugins, *device, *way.args),
        cwd=folder, capture_output=True, text=True, timeout=800, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=[one.title for one in WAYS])
def test_no_way_is_green(tmp_path: Path, way: Way) -> None:
    done = run(tmp_path, way)
    text = done.stdout + done.stderr
    print(text)
    for sentence in way.said:
        assert re.search(sentence, text), sentence
    assert done.returncode == way.exit_status


def rows() -> dict[str, str]:
    """Return the rows of the page: the way, and the last cell, which says where it is tried."""
    found = {}
    for line in PAGE.read_text().splitlines():
        cells = [one.strip() for one in line.strip("|").split(" | ")]
        if line.startswith("| ") and len(cells) == 4 and not cells[0].startswith(("---", "way")):
            found[cells[0]] = cells[3]
    return found


def test_the_page_has_every_way_and_each_is_tried() -> None:
    """In both directions: a way without a row, and a row that nothing tries."""
    here = {one.title for one in WAYS}
    assert len(here) == len(WAYS)
    elsewhere = {title: cell for title, cell in rows().items() if cell != "here"}
    assert here == rows().keys() - elsewhere.keys()
    assert elsewhere
    for title, cell in elsewhere.items():
        file, _, name = cell.strip("`").partition("::")
        path = ROOT / "tests" / file
        assert name, title
        assert path.is_file(), title
        assert re.search(rf"^\s*(def|class) {name.rpartition('::')[2]}\b", path.read_text(), re.M), title
