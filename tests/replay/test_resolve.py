"""Node ids of records lead to scenarios inside the rootdir, and nowhere else; variables come from a list."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stress.commands import CommandError
from stress.commands.replay import variables
from stress.commands.replay.resolve import Resolved
from stress.commands.replay.resolve import _extend_path
from stress.commands.replay.resolve import resolve_item
from stress.commands.replay.resolve import resolve_name

SOURCE = """\
from stress import Scenario

class Numbers(Scenario):
    params = {"size": [4, 16], "kind": ["plain", "long name"]}
    def step(self, state, x):
        return self.size

class NoScenario:
    pass
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "root" / "scenarios"
    folder.mkdir(parents=True)
    # A name of its own: what was imported in another test must not be found in its place.
    (folder / f"numbers_{tmp_path.name}.py").write_text(SOURCE)
    return tmp_path / "root"


def file_of(root: Path) -> str:
    return f"scenarios/numbers_{root.parent.name}.py"


def resolve(item: str, root: Path, env: dict[str, str] | None = None) -> Resolved:
    return resolve_item(item, root, env=env or {}, threads=8, place="run/x.jsonl:7")


class TestItems:
    def test_parameters_are_found_by_their_ids(self, root: Path) -> None:
        what = resolve(f"{file_of(root)}::Numbers[16-long_name-t8]", root)
        assert what.ref.indices == (1, 1)
        assert what.params == {"size": "16", "kind": "long_name"}
        assert what.ref.path == str(root / file_of(root))

    @pytest.mark.parametrize("name", ["Numbers[17-plain-t8]", "Numbers[4-plain-t9]"])
    def test_a_scenario_that_was_changed(self, root: Path, name: str) -> None:
        with pytest.raises(CommandError, match=r"x\.jsonl:7: .* the scenario was changed since"):
            resolve(f"{file_of(root)}::{name}", root)

    def test_variables_that_the_scenario_does_not_ask_for(self, root: Path) -> None:
        with pytest.raises(CommandError, match="the scenario was changed since"):
            resolve(f"{file_of(root)}::Numbers[4-plain-t8]", root, {"PYTHONPATH": "/evil"})

    def test_a_class_that_is_no_scenario(self, root: Path) -> None:
        with pytest.raises(CommandError, match="NoScenario is not a scenario"):
            resolve(f"{file_of(root)}::NoScenario[t8]", root)

    @pytest.mark.parametrize(
        "item",
        [
            "../evil.py::A[t8]",
            "/etc/passwd.py::A[t8]",
            "scenarios/../../evil.py::A[t8]",
            "link.py::A[t8]",
            "a\0.py::A[t8]",
        ],
    )
    def test_files_outside_of_the_rootdir(self, root: Path, item: str) -> None:
        evil = root.parent / "evil.py"
        evil.write_text("raise SystemExit('executed')\n")
        (root / "link.py").symlink_to(evil)
        with pytest.raises(CommandError, match=r"x\.jsonl:7: .*(leads out of|cannot be a file)"):
            resolve(item, root)

    @pytest.mark.parametrize("item", ["scenarios/none.py::A[t8]", "scenarios::A[t8]"])
    def test_files_that_are_not_there(self, root: Path, item: str) -> None:
        with pytest.raises(CommandError, match="go to pytest's rootdir, or give --rootdir"):
            resolve(item, root)

    @pytest.mark.parametrize("item", ["scenarios/x.py", "x::y::z[t8]", "power::fault::entry", "x.py::A"])
    def test_what_is_no_node_id(self, root: Path, item: str) -> None:
        with pytest.raises(CommandError, match="expected FILE::CLASS"):
            resolve(item, root)


class TestNames:
    def test_the_first_parameters_without_any(self, root: Path) -> None:
        assert resolve_name(f"{file_of(root)}::Numbers", root, None).nodeid.endswith("::Numbers[4-plain-t8]")

    def test_threads_of_the_id(self, root: Path) -> None:
        assert resolve_name(f"{file_of(root)}::Numbers[16-plain-t3]", root, None).threads == 3

    def test_what_there_is_instead(self, root: Path) -> None:
        with pytest.raises(CommandError, match=r"has Numbers\[4-plain-t8\], Numbers\[4-long_name-t8\]"):
            resolve_name(f"{file_of(root)}::Numbers[5]", root, None)


class TestVariables:
    def test_only_those_on_the_list_are_set(self) -> None:
        recorded = {
            "MTL_DEBUG_LAYER": "1",
            "DYLD_INSERT_LIBRARIES": "/evil.dylib",
            "LD_PRELOAD": "/evil.so",
            "PYTHONPATH": "/evil",
            "MPS_STRESS_CACHE": "/evil",
            "PYTORCH_MPS_FAST_MATH": "/path",
            "OMP_NUM_THREADS": "4",
        }
        changes = variables.plan(recorded, {"OMP_NUM_THREADS": "4", "MPS_FORCE_GRAPH_PATH": "1"})
        assert changes.set == {"MTL_DEBUG_LAYER": "1"}
        assert changes.remove == ["MPS_FORCE_GRAPH_PATH"]
        assert changes.refused == [
            "DYLD_INSERT_LIBRARIES", "LD_PRELOAD", "PYTHONPATH", "MPS_STRESS_CACHE", "PYTORCH_MPS_FAST_MATH",
        ]  # fmt: skip
        assert any("NOT set again" in one and "LD_PRELOAD" in one for one in changes.sentences)

    def test_the_list_names_no_library_and_no_path(self) -> None:
        assert not [
            one for one in variables.ALLOWED if one.startswith(("DYLD_", "LD_", "PYTHON", "MPS_STRESS_CACHE"))
        ]
        assert not [
            one
            for one in variables.ALLOWED
            if one.endswith(("PATH", "DIR", "FILE")) and one != "MPS_FORCE_GRAPH_PATH"
        ]

    def test_applied(self) -> None:
        environ = {"MPS_FORCE_GRAPH_PATH": "1"}
        variables.plan({"MallocScribble": "1"}, environ).apply(environ)
        assert environ == {"MallocScribble": "1"}


def test_folders_that_a_record_names_are_imported_from_only_below_the_rootdir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project" / "src").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.path)
    _extend_path(tmp_path / "project", ["src", "..", "/", "missing"])
    assert set(sys.path) - before == {str(tmp_path / "project" / "src")}
