"""Whose lines are perturbed: the user's own, wherever they lie, and nobody else's."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

import pytest

from stress.child.perturb import TraceScope
from stress.child.perturb import own_code
from stress.plugin import options
from tests.acceptance import run_in
from tests.ordinary.running import ALL
from tests.ordinary.running import run

RACY_PACKAGE = """
_owner = None

def claim(token):
    global _owner
    _owner = token
    return _owner
"""
CLAIMS = """
import pytest
from mypkg import claim

@pytest.mark.parametrize("schedule", range(10))
def test_claim(schedule):
    token = object()
    assert claim(token) is token
"""


def installed(folder: Path, name: str, url: str, *, editable: object = True) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "direct_url.json").write_text(json.dumps({"url": url, "dir_info": {"editable": editable}}))


class TestEditableInstalls:
    def test_are_found_by_their_url(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        installed(tmp_path, "in-place", "file:///home/me/my%20code")
        installed(tmp_path, "copied", "file:///home/me/other", editable=False)
        installed(tmp_path, "mps-stress", "file:///home/me/mps-stress")
        assert own_code.editable_installs() == {"in-place": Path("/home/me/my code")}

    @pytest.mark.parametrize("text", ['{"editable"', '["editable"]', '{"url": 3, "editable": 1}'])
    def test_with_a_damaged_record_are_passed_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
    ) -> None:
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        installed(tmp_path, "broken", "file:///x")
        (tmp_path / "broken-1.0.dist-info" / "direct_url.json").write_text(text)
        assert own_code.editable_installs() == {}

    def test_are_in_scope_beside_the_project(self, tmp_path: Path) -> None:
        folders = own_code.own_folders(tmp_path / "project", [tmp_path / "in-place"])
        assert folders == (str(tmp_path / "project"), str(tmp_path / "in-place"))


class TestTheScope:
    def test_leaves_out_a_standard_library_in_the_project(self) -> None:
        """As a conda environment in the project has it: not below site-packages."""
        library = Path(sysconfig.get_path("stdlib"))
        scope = TraceScope((str(library.parent.parent),))
        assert not scope.covers(json.__file__, "json")
        assert scope.covers(str(library.parent.parent / "mine.py"), "mine")

    def test_leaves_out_torch_that_is_a_checkout(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        torch = type(sys)("torch")
        torch.__file__ = str(tmp_path / "torch" / "__init__.py")
        monkeypatch.setitem(sys.modules, "torch", torch)
        file, name = str(tmp_path / "torch" / "nn" / "modules" / "linear.py"), "torch.nn.modules.linear"
        assert not TraceScope((str(tmp_path),)).covers(file, name)
        assert TraceScope((str(tmp_path),), ("torch.nn",)).covers(file, name)
        assert TraceScope((str(tmp_path),)).covers(str(tmp_path / "torchmine.py"), "torchmine")


class TestAModuleToTrace:
    @pytest.mark.parametrize(
        ("name", "found"),
        [("json", True), ("json.decoder", True), ("json.nope", False), ("nope", False), ("os.path", True),
         ("one.two", True), ("one.three", False), ("__main__", True)],
    )  # fmt: skip
    def test_is_looked_up_without_importing_it(self, tmp_path: Path, name: str, found: bool) -> None:
        (tmp_path / "one").mkdir()
        (tmp_path / "one" / "__init__.py").write_text("raise RuntimeError('imported')")
        (tmp_path / "one" / "two.py").write_text("")
        assert own_code.can_be_found(name, [tmp_path]) is found

    def test_that_is_not_there_is_refused(self, pytester: pytest.Pytester) -> None:
        config = pytester.parseconfig("--mps-threads=2", "--mps-trace-modules=json,nope")
        with pytest.raises(
            pytest.UsageError, match=r"^--mps-trace-modules=json,nope: there is no module nope: "
        ):
            options.parse(config)

    def test_may_lie_where_pytest_will_find_it(self, pytester: pytest.Pytester) -> None:
        for name in ("src/one/__init__.py", "beside/tests/two.py", "beside/three.py"):
            pytester.path.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            pytester.path.joinpath(name).write_text("")
        pytester.makeini("[pytest]")
        named = "--mps-trace-modules=one,two,three"
        config = pytester.parseconfig("--mps-threads=2", named, "beside/tests/test_it.py::test_one")
        assert options.parse(config).trace_modules == ("one", "two", "three")


IS_TRACED = """
import sys

def is_traced():
    frame = sys._getframe()
    if sys.version_info < (3, 12):
        return frame.f_trace is not None
    return any(sys.monitoring.get_local_events(tool, frame.f_code) for tool in (3, 4) if sys.monitoring.get_tool(tool))
"""


def write_project(folder: Path, package: str) -> None:
    for name in ("mypkg", "tests"):
        (folder / name).mkdir()
    (folder / "mypkg" / "__init__.py").write_text(package)


class TestAPackageBesideTheTests:
    """`tests/` beside `mypkg/`, which is most projects. Its two-line race: 0 of 20 seeds before, 60 of 60 now."""

    def test_has_its_race_found(self, tmp_path: Path) -> None:
        write_project(tmp_path, RACY_PACKAGE)
        (tmp_path / "tests" / "test_claim.py").write_text(CLAIMS)
        ran = run(tmp_path, "", *ALL, "--mps-device=cpu", "tests", ini="pythonpath = .")
        assert ran.counts()["failed"] >= 5, "of 10"
        assert (
            "mps: perturbed lines: files of this project; not those of installed packages: "
            "--mps-trace-modules=NAME adds one"
        ) in ran.text

    def test_is_perturbed_for_a_scenario_too(self, tmp_path: Path) -> None:
        write_project(tmp_path, IS_TRACED)
        (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = .\n")
        source = """
        from mypkg import is_traced
        class Traced(Scenario):
            iterations = 3
            def make_input(self, generator):
                return torch.randn(2, generator=generator)
            def step(self, state, x):
                return x + is_traced()
        """
        ran = run_in(tmp_path, source, "--mps-attempts=3")
        ends = [(one["attempt"], one["verdict"]) for one in ran.ends("Traced[t4]")]
        assert ends == [(0, "pass"), (1, "mismatch"), (2, "pass")], "modes op, line, none"
