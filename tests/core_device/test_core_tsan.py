"""`mps-stress tsan --pytorch`: the small tree, really built under ThreadSanitizer, with a driver of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stress.commands import cli
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.device.core import tree as trees
from stress.device.core.build import CoreBuild
from stress.device.core.build import CoreBuilder
from stress.device.torch_installation import find_torch
from stress.model.errors import BuildError
from stress.record import RunReader
from stress.sanitizer.native import core_driver
from tests.core_device.trees import STREAM
from tests.core_device.trees import committed_tree
from tests.core_device.trees import small_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a core is for Linux")
TIMEOUT_S = 800.0
ROOT = Path(__file__).parents[2]
# PyTorch's own native cases need what the small tree does not have. Everything else is what a user runs.
RUN = """
import sys
from stress.device.core import compile
compile.NATIVE = (
    *(f"native/{name}.cpp" for name in ("main", "crew", "controls", "invariants")), "../tests/core_device/driver/*.mm"
)
from stress.commands import cli
sys.exit(cli.main(sys.argv[1:]))
"""
FILL = "void MPSStream::fill(id<MTLBuffer> buffer, unsigned char value) {\n"
UNGUARDED = '  [command_queue_ setLabel:@"filled"];\n'
"""Outside the stream's queue. The access itself is in the simulated Metal, and the tree's function is to blame."""


@pytest.fixture(scope="module", autouse=True)
def toolchain(build_cache: Path) -> None:
    try:
        find_toolchain()
    except ToolchainError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def version() -> str:
    """Return a version that the installed torch agrees with."""
    return ".".join(find_torch().version.split(".")[:2]) + ".0a0"


@dataclass(frozen=True)
class Done:
    """What the command printed, and the records of its run."""

    status: int
    out: str
    err: str
    folder: Path

    @property
    def records(self) -> list[dict[str, Any]]:
        (run,) = self.folder.iterdir()
        reader = RunReader(run)
        found = [dict(one) for one in reader]
        assert reader.problems == []
        return found


def tsan(tree: Path, folder: Path, *arguments: str) -> Done:
    words = ["tsan", f"--pytorch={tree}", f"--results={folder}", "--threads=4", "--iterations=20", *arguments]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        cwd=ROOT,
    )
    print(done.stdout, done.stderr, sep="\n")
    return Done(done.returncode, done.stdout, done.stderr, folder)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, version: str) -> Path:
    return committed_tree(tmp_path_factory.mktemp("sound") / "tree", version)


@pytest.fixture(scope="module")
def done(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Return the run on the sound tree."""
    return tsan(tree, tmp_path_factory.mktemp("runs"), "--runs=2")


@pytest.fixture(scope="module")
def racy(tmp_path_factory: pytest.TempPathFactory, version: str) -> Done:
    """Return the run on the tree with the planted race."""
    folder = tmp_path_factory.mktemp("racy")
    tree = committed_tree(folder / "tree", version)
    text = (tree / STREAM).read_text()
    assert text.count(FILL) == 1
    (tree / STREAM).write_text(text.replace(FILL, FILL + UNGUARDED))
    return tsan(tree, folder / "runs", "--case=fill", "--runs=2", "--seed=7")


@pytest.mark.slow
class TestASoundTree:
    def test_is_silent_and_the_controls_hold(self, done: Done) -> None:
        assert done.status == 0
        (line,) = [one for one in done.out.splitlines() if one.startswith("fill ")]
        assert line.startswith("fill 4 x 20: 0 races in 2 runs; canary found; ")
        assert line.endswith("; 0 suppressions matched; core on simulated Metal")

    def test_is_instrumented_in_every_unit_and_says_so(self, done: Done) -> None:
        (run,) = [one for one in done.records if one["kind"] == "run"]
        assert run["harness"]["instrumented"] == run["harness"]["units"] > 20
        assert run["harness"]["reasons"] == []
        assert "libtorch not instrumented (its code is not covered)" in done.out

    def test_skips_what_the_tree_lacks(self, done: Done) -> None:
        assert "lacking 4 x 20: skipped: not available here: getStreamFromPool" in done.out

    def test_says_what_it_is_and_what_silence_is_worth(self, done: Done, tree: Path) -> None:
        assert f"tree       ATen/mps of {tree} at " in done.err
        assert (
            "core: a failure is evidence about the tree's own code; silence is about these files alone"
            in done.out
        )
        assert "simulated device: this proves the detector" not in done.out

    def test_is_on_record_as_a_core_with_its_tree(self, done: Done, tree: Path) -> None:
        (run,) = [one for one in done.records if one["kind"] == "run"]
        assert (run["device"], run["simulated"], run["harness"]["platform"]) == ("core", True, "core")
        assert run["core"]["tree"] == str(tree)
        assert run["core"]["dirty"] == []
        assert any(one["kind"] == "item" and one["item"].endswith("::fill[t4]") for one in done.records)

    def test_lists_its_cases_and_no_seeded_fault(self, done: Done, tree: Path, tmp_path: Path) -> None:
        listed = tsan(tree, tmp_path, "--list")
        assert listed.status == 0
        assert "  fill: buffers filled on one stream" in listed.out
        assert "faults" not in listed.out

    def test_has_no_case_of_another_name(self, done: Done, tree: Path, tmp_path: Path) -> None:
        refused = tsan(tree, tmp_path, "--case=nowhere")
        assert refused.status == 2
        assert "there is no case 'nowhere'; known are fill, lacking" in refused.err
        assert not list(tmp_path.iterdir())

    def test_proves_nothing_where_no_report_is_made(
        self, done: Done, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TSAN_OPTIONS", "report_bugs=0")
        lost = tsan(tree, tmp_path, "--case=fill", "--runs=1")
        assert lost.status == 3
        assert "fill 4 x 20: inconclusive: canary not found" in lost.out


@pytest.mark.slow
class TestAPlantedRace:
    def test_is_found_and_named_after_the_trees_function(self, racy: Done) -> None:
        assert racy.status == 1
        assert "fill 4 x 20: RACE in 2 of 2 runs" in racy.out
        assert "tsan/data-race at::mps::MPSStream::fill <> at::mps::MPSStream::fill" in racy.out
        assert ", modified: MPSStream.mm on simulated Metal)" in racy.out

    def test_is_at_the_trees_own_line(self, racy: Done) -> None:
        text = (ROOT / "tests" / "core_tree" / STREAM).read_text()
        line = text[: text.index(FILL)].count("\n") + 2
        (shown,) = [one for one in racy.out.splitlines() if "mps-stress explain" in one]
        report = Path(shown.split()[-1]).read_text()
        assert f" {STREAM}:{line}:" in report, (
            "by its path in the tree, without the folder of the build or of the checkout"
        )

    def test_is_told_with_the_way_to_repeat_it(self, racy: Done) -> None:
        (shown,) = [one for one in racy.out.splitlines() if "  repeat: " in one]
        assert shown.split("repeat: ")[1].startswith("mps-stress tsan --pytorch=")
        assert shown.endswith("/tree --case=fill --threads=4 --iterations=20 --runs=2 --seed=0x7")

    def test_is_on_record_with_the_file_that_differs(self, racy: Done) -> None:
        (run,) = [one for one in racy.records if one["kind"] == "run"]
        assert run["core"]["dirty"] == [STREAM]
        (item,) = [
            one for one in racy.records if one["kind"] == "item" and one["item"].endswith("::fill[t4]")
        ]
        assert (item["verdict"], item["failures"]) == ("race", 2)


class TestBadInput:
    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (
                ["--fault=commit_twice"],
                "--fault=commit_twice: the seeded faults are in the simulated backend, and --pytorch=TREE takes its place",
            ),
            (["--faults"], "--faults: the seeded faults are in the simulated backend"),
            (
                ["--recipe=a.toml"],
                "--recipe=a.toml builds a program of its own, and --pytorch=TREE the native cases",
            ),
        ],
    )
    def test_what_is_no_trees_is_refused(
        self, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["tsan", "--pytorch=TREE", *arguments]) == 2
        assert reason in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--force"], "--force: only for a tree, which --pytorch=TREE names"),
            (["--pytorch="], "--pytorch=: expected the root of a PyTorch source tree"),
            (["--pytorch=/nowhere"], "--pytorch=/nowhere: no such folder"),
        ],
    )
    def test_no_tree(self, arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["tsan", *arguments]) == 2
        assert reason in capsys.readouterr().err

    def test_another_version(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["tsan", f"--pytorch={small_tree(tmp_path / 'tree', '1.13.1')}"]) == 2
        assert "this is PyTorch 1.13.1, and the installed torch is" in capsys.readouterr().err

    def test_a_tree_whose_interfaces_the_cases_do_not_fit(self, tmp_path: Path, version: str) -> None:
        tree = trees.inspect(str(small_tree(tmp_path / "tree", version)))
        builder = CoreBuilder(tree, find_torch(), find_toolchain(), tmp_path / "cache", "thread")
        build = CoreBuild(tmp_path / "lib.so", None, None, (), 1.0, True, {}, (), "memory.mm:7: error: no")
        with pytest.raises(
            BuildError, match=r"the native cases do not compile for .*/tree: memory\.mm:7: error: no"
        ):
            core_driver.open_driver(builder, build)


class TestPytest:
    """`pytest tsan --mps-device=core` is the same by another name."""

    def refused(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--mps-threads=4", "-p", "no:cacheprovider", *arguments],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            cwd=ROOT,
        )
        assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout + done.stderr
        return done.stdout + done.stderr

    def test_needs_a_tree(self) -> None:
        said = self.refused("tsan", "--mps-device=core")
        assert (
            "--mps-device=core: the core of which PyTorch?: name its source tree, as in --mps-pytorch="
            in said
        )

    def test_takes_no_tree_for_another_device(self) -> None:
        said = self.refused("tsan", "--mps-device=sim", "--mps-pytorch=/nowhere")
        assert "the tree is for its own device alone, not for sim: add --mps-device=core" in said

    def test_takes_no_program_of_its_own(self) -> None:
        said = self.refused(
            "tests/sanitizer/programs/small.toml", "--mps-device=core", "--mps-pytorch=/nowhere"
        )
        assert (
            "small.toml builds a program of its own, and --mps-device=core runs the native cases of " in said
        )

    def test_takes_no_folder_that_is_missing(self) -> None:
        said = self.refused("tsan", "--mps-device=core", "--mps-pytorch=/nowhere")
        assert "--mps-pytorch=/nowhere: no such folder" in said
