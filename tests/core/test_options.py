"""Options and their ini twins: what is refused, with which way out, and what wins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stress.device.sim.settings import SimSettings
from stress.plugin import options
from stress.plugin.settings import Settings
from tests import warm
from tests.acceptance import PROLOGUE

BAD_VALUES = [
    # (option, value, words of the way out)
    ("threads", "0", "--mps-threads=8"),
    ("threads", "-1", "--mps-threads=8"),
    ("threads", "eight", "--mps-threads=8"),
    ("threads", "1,,2", "--mps-threads=1,2,4,8"),
    ("threads", "2,0", "--mps-threads=1,2,4,8"),
    ("threads", "1.5", "'auto'"),
    ("threads", "AUTO", "'auto'"),
    ("threads", "100000000", "at most"),
    ("attempts", "0", "a whole number of at least 1"),
    ("attempts", "-3", "a whole number of at least 1"),
    ("attempts", "many", "a whole number of at least 1"),
    ("attempts", "1e3", "a whole number of at least 1"),
    ("attempts", "9" * 5000, "at most 1000000000"),
    ("attempts", "²", "a whole number of at least 1"),
    ("iterations", "0", "a whole number of at least 1"),
    ("iterations", "2.5", "a whole number of at least 1"),
    ("seconds", "0", "a positive number of seconds"),
    ("seconds", "-1", "a positive number of seconds"),
    ("seconds", "1e300", "at most 10000000"),
    ("seconds", "nan", "a positive number of seconds"),
    ("seconds", "inf", "a positive number of seconds"),
    ("seconds", "soon", "a positive number of seconds"),
    ("deadline", "0", "a positive number of seconds"),
    ("deadline", "1m", "a positive number of seconds"),
    ("deadline", "inf", "a positive number of seconds"),
    ("seed", "-1", "0 to 2**63-1"),
    ("seed", "0xzz", "0 to 2**63-1"),
    ("seed", str(2**63), "0 to 2**63-1"),
    ("seed", "last", "0 to 2**63-1"),
    ("device", "gpu", "auto, mps, cuda, cpu, sim"),
    ("device", "cuda:1", "auto, mps, cuda, cpu, sim"),
    ("streams", "many", "auto, shared, per-thread"),
    ("perturb", "medium", "off, low, high"),
    ("trace-modules", "one,,two", "names of modules"),
    ("trace-modules", "a/b.py", "names of modules"),
    ("trace-modules", "json,nope", "there is no module nope: expected the name that the code imports it by"),
    ("torch-source", "no-such-folder", "there is no such folder"),
    ("sim-faults", "no_such_fault", "known are pool_counter_unlocked, "),
    ("sim-faults", "copy_torn,", "as in allocator_free_list:0.01:50"),
    ("sim-faults", "copy_torn/triplet", "NAME[/twin][:PROBABILITY[:WINDOW_US]]"),
    ("sim-faults", "copy_torn:0.1:5:7", "NAME[/twin][:PROBABILITY[:WINDOW_US]]"),
    ("sim-faults", "copy_torn:often", "'often' is not a probability"),
    ("sim-faults", "copy_torn:0", "expected above 0 and at most 1"),
    ("sim-faults", "copy_torn:1.01", "expected above 0 and at most 1"),
    ("sim-faults", "copy_torn:nan", "expected above 0 and at most 1"),
    ("sim-faults", "copy_torn:1:-5", "expected whole microseconds, at most 1000000"),
    ("sim-faults", "copy_torn:1:1e3", "expected whole microseconds, at most 1000000"),
    ("sim-faults", "copy_torn:1:1000001", "expected whole microseconds, at most 1000000"),
    ("sim-faults", "copy_torn,copy_torn/twin", "copy_torn is named twice"),
    ("sim-faults", "copy_torn,commit_twice", "faults of different designs do not go together"),
    ("sim-design", "tree", "fork, fork-free-list, upstream"),
    ("sim-schedule", "fair", "free, random, pct or pct:DEPTH"),
    ("sim-schedule", "random:3", "free, random, pct or pct:DEPTH"),
    ("sim-schedule", "pct:0", "a depth of 1 to 100"),
    ("sim-schedule", "pct:", "a depth of 1 to 100"),
]
TWINS = {
    "threads": "3,5",
    "attempts": "7",
    "profile": "full",
    "iterations": "11",
    "seconds": "13.5",
    "deadline": "17",
    "seed": "0x13",
    "device": "cpu",
    "streams": "shared",
    "perturb": "high",
    "results": "elsewhere",
    "trace-modules": "json, os.path",
    "torch-source": ".",
    "no-isolation": "true",
    "share-device": "true",
    "allow-torch-mismatch": "true",
    "all-tests": "true",
    "tsan": "true",
    "sim-design": "fork-free-list",
    "sim-faults": "copy_torn",
    "sim-schedule": "free",
}


def write_ini(folder: Path, **values: str) -> None:
    lines = "".join(f"{name} = {value}\n" for name, value in values.items())
    (folder / "pytest.ini").write_text(f"[pytest]\n{lines}", encoding="utf-8")


def parse(pytester: pytest.Pytester, *args: str) -> Settings:
    return options.parse(pytester.parseconfig(*args))


class TestABadValue:
    @pytest.mark.parametrize(("name", "value", "way_out"), BAD_VALUES)
    def test_on_the_command_line_names_the_way_out(
        self, pytester: pytest.Pytester, name: str, value: str, way_out: str
    ) -> None:
        given = (
            [f"--mps-{name}={value}"] if name == "threads" else ["--mps-threads=2", f"--mps-{name}={value}"]
        )
        with pytest.raises(pytest.UsageError) as caught:
            parse(pytester, *given)
        assert str(caught.value).startswith(f"--mps-{name}={value}: ")
        assert way_out in str(caught.value)

    @pytest.mark.parametrize(("name", "value", "way_out"), BAD_VALUES)
    def test_in_the_ini_file_is_said_to_come_from_there(
        self, pytester: pytest.Pytester, name: str, value: str, way_out: str
    ) -> None:
        key = f"mps_{name.replace('-', '_')}"
        write_ini(pytester.path, **{"mps_threads": "2", key: value})
        with pytest.raises(pytest.UsageError) as caught:
            parse(pytester)
        assert str(caught.value).startswith(f"ini option {key} = {value}: ")
        assert way_out in str(caught.value)

    @pytest.mark.parametrize("name", ["no-isolation", "share-device", "all-tests", "allow-torch-mismatch"])
    def test_of_a_switch_in_the_ini_file_is_refused(self, pytester: pytest.Pytester, name: str) -> None:
        key = f"mps_{name.replace('-', '_')}"
        write_ini(pytester.path, **{"mps_threads": "2", key: "perhaps"})
        with pytest.raises(pytest.UsageError, match=f"{key}.*perhaps"):
            parse(pytester)

    @pytest.mark.parametrize("name", ["attempts", "seconds", "seed", "device", "results", "trace-modules"])
    def test_is_also_an_empty_one(self, pytester: pytest.Pytester, name: str) -> None:
        with pytest.raises(pytest.UsageError, match=f"--mps-{name}"):
            parse(pytester, "--mps-threads=2", f"--mps-{name}=")

    def test_is_also_an_empty_thread_count(self, pytester: pytest.Pytester) -> None:
        with pytest.raises(pytest.UsageError, match=r"^--mps-threads=: .*--mps-threads=8"):
            pytester.parseconfigure("--mps-threads=")


class TestAnOptionWithoutThreads:
    @pytest.mark.parametrize("name", [name for name in TWINS if name != "threads"])
    def test_is_refused_because_it_would_do_nothing(self, pytester: pytest.Pytester, name: str) -> None:
        flags = {"no-isolation", "share-device", "allow-torch-mismatch", "all-tests", "tsan"}
        given = f"--mps-{name}" + ("" if name in flags else f"={TWINS[name]}")
        with pytest.raises(
            pytest.UsageError, match="does nothing without --mps-threads: add --mps-threads=8"
        ):
            pytester.parseconfigure(given)

    def test_is_fine_in_the_ini_file(self, pytester: pytest.Pytester) -> None:
        write_ini(pytester.path, mps_attempts="9")
        assert not options.is_on(pytester.parseconfigure())


class TestTheIniFile:
    def test_has_a_twin_of_every_option(self, pytester: pytest.Pytester) -> None:
        twins = {f"mps_{name.replace('-', '_')}": value for name, value in TWINS.items()}
        del twins["mps_sim_faults"]  # cpu has none
        del twins["mps_tsan"]
        write_ini(pytester.path, **twins)
        settings = parse(pytester)
        assert settings == Settings(
            threads=(3, 5),
            attempts=7,
            iterations=11,
            seconds=13.5,
            deadline_s=17.0,
            seed=0x13,
            device="cpu",
            streams="shared",
            perturb="high",
            results=pytester.path / "elsewhere",
            isolation=False,
            share_device=True,
            all_tests=True,
            trace_modules=("json", "os.path"),
            torch_source=pytester.path,
            allow_torch_mismatch=True,
            sim=SimSettings(design="fork-free-list"),
            profile="full",
            attempts_asked=True,
        )

    def test_loses_against_the_command_line(self, pytester: pytest.Pytester) -> None:
        write_ini(pytester.path, mps_threads="2", mps_attempts="7", mps_seed="1", mps_results="here")
        settings = parse(pytester, "--mps-threads=4", "--mps-attempts=3", "--mps-results=there")
        assert (settings.threads, settings.attempts, settings.seed) == ((4,), 3, 1)
        assert settings.results == pytester.path / "there"

    def test_takes_folders_relative_to_itself(self, pytester: pytest.Pytester) -> None:
        write_ini(pytester.path, mps_threads="2", mps_results="records", mps_torch_source="source")
        (pytester.path / "source").mkdir()
        (pytester.path / "below").mkdir()
        os.chdir(pytester.path / "below")
        settings = parse(pytester)
        assert settings.results == pytester.path / "records"
        assert settings.torch_source == pytester.path / "source"

    def test_may_hold_native_numbers(self, pytester: pytest.Pytester) -> None:
        (pytester.path / "pyproject.toml").write_text(
            '[tool.pytest.ini_options]\nmps_threads = 4\nmps_attempts = "3"\nmps_all_tests = true\n'
        )
        settings = parse(pytester)
        assert (settings.threads, settings.attempts, settings.all_tests) == ((4,), 3, True)


class TestTheDefaults:
    def test_are_those_of_the_design(self, pytester: pytest.Pytester) -> None:
        settings = parse(pytester, "--mps-threads=8")
        assert (settings.threads, settings.attempts, settings.iterations) == ((8,), 5, None)
        assert (settings.seconds, settings.deadline_s) == (None, 60.0)
        assert (settings.device, settings.streams, settings.perturb) == ("auto", "auto", "low")
        assert settings.results == pytester.path / "results" / "runs"
        assert settings.isolation
        assert not any((settings.share_device, settings.all_tests, settings.allow_torch_mismatch))
        assert settings.sim == SimSettings("upstream", (), "free")

    def test_draw_a_new_seed_for_every_run(self, pytester: pytest.Pytester) -> None:
        assert len({parse(pytester, "--mps-threads=8").seed for _ in range(3)}) == 3


class TestThreads:
    def test_may_be_several_counts_in_the_given_order_each_once(self, pytester: pytest.Pytester) -> None:
        assert parse(pytester, "--mps-threads=8,1,8, 2").threads == (8, 1, 2)

    def test_auto_is_the_number_of_cores_but_at_least_two(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for cores, threads in ((1, 2), (2, 2), (6, 6)):
            monkeypatch.setattr(os, "sched_getaffinity", lambda _pid, n=cores: set(range(n)), raising=False)
            assert parse(pytester, "--mps-threads=auto").threads == (threads,)


class TestIsolation:
    def test_is_off_under_a_debugger(self, pytester: pytest.Pytester) -> None:
        assert not parse(pytester, "--mps-threads=2", "--pdb").isolation

    def test_a_debugger_is_refused_under_distribution(self, pytester: pytest.Pytester) -> None:
        done = pytester.runpytest_subprocess("--mps-threads=2", "--pdb", "-n2")
        assert done.ret == pytest.ExitCode.USAGE_ERROR


class TestOnACommandLine:
    """True runs: the exit status is 4, the text is one line, and nothing is written."""

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            (["--mps-threads=nine"], "*--mps-threads=nine: expected positive whole numbers or 'auto'*"),
            (["--mps-seed=7"], "*--mps-seed does nothing without --mps-threads: add --mps-threads=8"),
            (
                ["--mps-threads=2", "--mps-device=cuda"],
                "*--mps-device=cuda: torch sees no CUDA device*--mps-device=cpu runs the scenarios on the CPU",
            ),
            (
                ["--mps-threads=2", "--mps-device=mps"],
                "*--mps-device=mps: *no MPS support*--mps-device=cpu runs the scenarios on the CPU",
            ),
        ],
    )
    def test_exit_status_is_four(self, pytester: pytest.Pytester, args: list[str], words: str) -> None:
        if sys.platform == "darwin" and "mps" in args[-1]:
            pytest.skip("this machine may have the device")
        (pytester.mkdir("scenarios") / "subject.py").write_text(QUICK)
        done = run(pytester.path, *args)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        (line,) = [line for line in done.stderr.splitlines() if line]
        pytest.LineMatcher([line]).fnmatch_lines([words])
        assert sorted(os.listdir(pytester.path)) == ["scenarios"]


QUICK = (
    PROLOGUE
    + """
class Quick(Scenario):
    iterations = 2
    def step(self, state, x):
        return torch.ones(2) * stress.current().thread_index
"""
)


def run(folder: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = warm.command("pytest", "-p", "no:cacheprovider", *args)
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=800, check=False
    )


class TestTheTorchBuild:
    @pytest.fixture
    def other_source(self, pytester: pytest.Pytester) -> Path:
        """Return a source tree whose commit no torch was built from."""
        tree = pytester.mkdir("pytorch")
        (tree / "version.txt").write_text("2.99.0a0\n")
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(tree)]
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
        (pytester.mkdir("scenarios") / "subject.py").write_text(QUICK)
        return tree

    def test_must_come_from_the_given_source(self, pytester: pytest.Pytester, other_source: Path) -> None:
        given = ["--mps-threads=2", "--mps-device=cpu", f"--mps-torch-source={other_source}"]
        done = run(pytester.path, *given)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert f"--mps-torch-source={other_source}: " in done.stderr
        assert "--mps-allow-torch-mismatch" in done.stderr
        assert not (pytester.path / "results").exists()

    def test_may_differ_when_asked_for_and_the_record_says_so(
        self, pytester: pytest.Pytester, other_source: Path
    ) -> None:
        from stress.record import RunReader

        given = ["--mps-threads=2", "--mps-device=cpu", f"--mps-torch-source={other_source}"]
        done = run(pytester.path, *given, "--mps-allow-torch-mismatch", "--mps-attempts=1")
        assert done.returncode == pytest.ExitCode.OK, done.stdout
        (folder,) = (pytester.path / "results" / "runs").iterdir()
        first = next(RunReader(folder))
        assert first["kind"] == "run"
        assert first["torch_mismatches"]

    def test_that_cannot_be_imported_is_named(self, pytester: pytest.Pytester) -> None:
        (pytester.mkdir("scenarios") / "subject.py").write_text(QUICK)
        broken = pytester.mkdir("broken") / "torch"
        broken.mkdir()
        (broken / "__init__.py").write_text("raise ImportError('libtorch_mps.dylib: symbol not found')\n")
        done = run(pytester.path, "--mps-threads=2", PYTHONPATH=str(broken.parent))
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert "libtorch_mps.dylib: symbol not found" in done.stderr
        assert "torch cannot be used" in done.stderr
        assert "Traceback" not in done.stdout
        assert not (pytester.path / "results").exists()
