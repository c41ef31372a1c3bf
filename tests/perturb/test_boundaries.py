"""Line and opcode boundaries: what they find, what they leave alone, what they restore."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import stress
from stress.child.perturb import Perturbation
from stress.child.perturb import TraceScope
from stress.child.perturb import kept_ready
from tests.perturb import crew
from tests.perturb import subject

ATTEMPTS = 20


def wrong(function: Callable[[subject.Box], None], mode: str, level: str = "low") -> int:
    return sum(crew.attempt(function, mode, level, seed).is_wrong for seed in range(ATTEMPTS))


class TestDetection:
    """The thresholds leave room: the spike saw 20 of 20, and 10 of 20 for the first use."""

    def test_two_lines_are_found_between_lines(self) -> None:
        assert wrong(subject.two_lines, "line") >= 15

    def test_one_line_is_found_between_opcodes_only(self) -> None:
        assert wrong(subject.one_line, "opcode") >= 15

    def test_a_first_use_is_found_between_lines(self) -> None:
        assert wrong(subject.first_use, "line") >= 2

    @pytest.mark.parametrize("mode", ["none", "line", "opcode"])
    @pytest.mark.parametrize("function", [subject.two_lines_locked, subject.first_use_locked])
    def test_a_correct_twin_is_never_alarmed(
        self, function: Callable[[subject.Box], None], mode: str
    ) -> None:
        assert wrong(function, mode, "high") == 0

    def test_threads_that_a_step_starts_are_disturbed_too(self) -> None:
        done = [crew.attempt(subject.in_a_thread_of_its_own, "line", "high", seed, 5) for seed in range(10)]
        assert any(one.box.n != crew.THREADS * 5 for one in done)


class TestScope:
    def test_only_files_in_scope_have_boundaries(self) -> None:
        box = subject.Box()
        for scope, expected in (
            (crew.SCOPE, 2),
            (TraceScope(("/somewhere/else",)), 0),
            (TraceScope((), ("tests.perturb",)), 2),
            (TraceScope((), ("tests.pert",)), 0),
            (TraceScope((), ("json",)), 0),
        ):
            with Perturbation("line", "low", seed=1, thread_index=0, scope=scope) as perturbation:
                subject.two_lines(box)
            assert perturbation.points == expected, scope

    def test_modules_are_prefixes_of_dotted_names(self) -> None:
        scope = TraceScope((), ("json",))
        assert scope.covers("/any/where.py", "json")
        assert scope.covers("/any/where.py", "json.decoder")
        assert not scope.covers("/any/where.py", "jsonschema")

    def test_installed_packages_and_this_framework_are_out(self, tmp_path: Path) -> None:
        scope = TraceScope((str(tmp_path), "/work"))
        assert scope.covers(str(tmp_path / "tests" / "helper.py"), "helper")
        assert not scope.covers(str(tmp_path / ".venv/lib/python3.11/site-packages/numpy/core.py"), "numpy")
        assert not scope.covers(str(Path(json.__file__)), "json")
        assert not scope.covers("<string>", "made_up")
        from stress.child.perturb import schedule

        framework = TraceScope((str(Path(schedule.__file__).parents[2]),), ("stress",))
        assert not framework.covers(schedule.__file__, "stress.child.perturb.schedule")

    def test_scenarios_that_come_inside_the_package_are_in(self) -> None:
        """As a wheel has them: they lie below the framework, and are none of it."""
        package = Path(stress.__file__).parent
        scenarios = package / "_shipped" / "scenarios"
        scope = TraceScope((str(scenarios),))
        assert scope.covers(str(scenarios / "linear.py"), "linear")
        assert not scope.covers(str(package / "child" / "crew.py"), "stress.child.crew")

    def test_a_folder_below_site_packages_is_in_when_it_is_the_scope_itself(self, tmp_path: Path) -> None:
        folder = tmp_path / "site-packages" / "mine" / "scenarios"
        assert TraceScope((str(folder),)).covers(str(folder / "a.py"), "a")


class TestPause:
    def test_nothing_is_a_boundary_in_a_pause(self) -> None:
        box = subject.Box()
        with Perturbation("line", "low", seed=1, thread_index=0, scope=crew.SCOPE) as perturbation:
            subject.two_lines(box)
            perturbation.pause()
            subject.two_lines(box)
            perturbation.resume()
            subject.two_lines(box)
        assert perturbation.points == 4


class TestRestoring:
    @pytest.mark.parametrize("mode", ["line", "opcode"])
    def test_nothing_is_left_behind(self, mode: str) -> None:
        crew.attempt(subject.two_lines, mode, "low", 1)
        with Perturbation(mode, "low", seed=1, thread_index=0, scope=crew.SCOPE):
            subject.two_lines(subject.Box())
        assert threading.gettrace() is None
        assert sys.gettrace() is None or mode not in repr(sys.gettrace())

    def test_also_when_the_body_raises(self) -> None:
        before = sys.gettrace()
        with pytest.raises(ZeroDivisionError):
            self._raise()
        assert sys.gettrace() is before

    def _raise(self) -> None:
        with Perturbation("line", "low", seed=1, thread_index=0, scope=crew.SCOPE):
            subject.two_lines(subject.Box())
            raise ZeroDivisionError

    @pytest.mark.skipif(sys.version_info >= (3, 12), reason="sys.monitoring does not use the trace function")
    def test_a_thread_with_a_trace_function_is_left_alone(self) -> None:
        """Coverage and debuggers: theirs stays, ours says why it does nothing."""
        seen: list[str] = []

        def other(frame: FrameType, event: str, arg: Any) -> Any:
            seen.append(frame.f_code.co_name)
            return None

        found: list[object] = []

        def work() -> None:
            sys.settrace(other)
            with Perturbation("line", "low", seed=1, thread_index=0, scope=crew.SCOPE) as perturbation:
                subject.two_lines(subject.Box())
            found.extend([perturbation.blocked, perturbation.points, sys.gettrace() is other])
            sys.settrace(None)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert "trace function already" in str(found[0])
        assert found[1:] == [0, True]
        assert "two_lines" in seen

    @pytest.mark.parametrize(("mode", "level"), [("lines", "low"), ("line", "maximal")])
    def test_a_wrong_mode_or_level_names_the_choices(self, mode: str, level: str) -> None:
        with pytest.raises(ValueError, match="choose one of"):
            Perturbation(mode, level, seed=1, thread_index=0, scope=crew.SCOPE)

    @pytest.mark.parametrize(("mode", "level"), [("none", "high"), ("line", "off")])
    def test_none_and_off_do_nothing(self, mode: str, level: str) -> None:
        with Perturbation(mode, level, seed=1, thread_index=0, scope=crew.SCOPE) as perturbation:
            subject.two_lines(subject.Box())
        assert (perturbation.points, perturbation.delayed_s, perturbation.blocked) == (0, 0.0, None)

    def test_keeping_ready_is_harmless_everywhere(self) -> None:
        with kept_ready():
            assert wrong(subject.two_lines_locked, "line") == 0


@functools.cache
def python_of(version: str) -> str:
    """Return an interpreter of this version, which needs no torch: this one, one on PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    candidates = [
        sys.executable,
        f"python{version}",
        *sorted(map(str, pyenv.glob(f"{version}.*/bin/python"))),
    ]
    for one in candidates:
        path = shutil.which(one)
        if path is not None and _version_of(path) == version:
            return path
    return ""


def _version_of(path: str) -> str:
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", code], capture_output=True, text=True, timeout=800, check=False)
    return done.stdout.strip()  # nothing, where it is a shim of pyenv for a version that is not installed


@pytest.fixture
def python(version: str) -> str:
    found = python_of(version)
    if not found:
        pytest.skip(f"tests of Python {version}: no python{version} on PATH or below ~/.pyenv/versions")
    return found


def under(python: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [python, str(crew.FOLDER / "crew.py"), *arguments],
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize("version", ["3.12", "3.13"])
class TestMonitoring:
    """`sys.monitoring` takes the place of `sys.settrace` from Python 3.12 on."""

    @pytest.mark.parametrize(
        ("function", "mode", "at_least"),
        [("two_lines", "line", 15), ("one_line", "opcode", 15), ("first_use", "line", 2)],
    )
    def test_finds_what_tracing_finds(self, python: str, function: str, mode: str, at_least: int) -> None:
        result = under(python, function, mode, "low", str(ATTEMPTS))
        assert result["wrong"] >= at_least
        assert not result["blocked"]

    @pytest.mark.parametrize("mode", ["line", "opcode"])
    def test_never_alarms_a_correct_twin(self, python: str, mode: str) -> None:
        result = under(python, "two_lines_locked", mode, "high", "5")
        assert result["wrong"] == 0
        assert result["points"] > 0

    def test_leaves_no_tool_behind(self, python: str) -> None:
        assert under(python, "two_lines", "line", "low", "3")["tools_left"] == [None] * 6

    def test_reaches_threads_that_a_step_starts(self, python: str) -> None:
        # 50 threads one after the other from each of 8: far too slow at 20 attempts, enough at 2.
        assert under(python, "in_a_thread_of_its_own", "line", "high", "2")["wrong"] >= 1

    def test_taken_tool_ids_block_with_a_reason(self, python: str) -> None:
        source = (
            "import sys, runpy; m = sys.monitoring; m.use_tool_id(3, 'a'); m.use_tool_id(4, 'b'); "
            f"sys.argv = ['crew.py', 'two_lines', 'line', 'low', '1']; "
            f"runpy.run_path({str(crew.FOLDER / 'crew.py')!r}, run_name='__main__')"
        )
        done = subprocess.run([python, "-c", source], capture_output=True, text=True, timeout=800, check=True)
        result = json.loads(done.stdout)
        assert "no free tool id" in result["blocked"][0]
        assert result["tools_left"] == [None, None, None, "a", "b", None]
