"""Bad names and words of the commands about one attempt: one sentence each, and what the exported text says it needs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stress.commands import CommandError
from stress.commands import cli
from stress.commands.export.foreign import foreign_imports
from stress.commands.minimise import command as minimise
from stress.commands.minimise import scripts
from stress.commands.minimise.search import Trial
from stress.model import seeds
from stress.model.sequential import Rates
from stress.model.shipped import shipped_file
from stress.model.shipped import shipped_name
from stress.model.shipped import shipped_scenarios
from stress.record.machine import import_folders


class TestExport:
    def test_of_a_file_without_a_class(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["export", "good.py"]) == 2
        assert (
            capsys.readouterr().err
            == "mps-stress export: good.py: expected FILE::CLASS, as in good.py::SharedLinear\n"
        )

    def test_of_a_syntax_error_is_one_line_without_a_trace(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "path", list(sys.path))
        (tmp_path / "bad.py").write_text("class A(:\n")
        assert cli.main(["export", "bad.py::A", f"--rootdir={tmp_path}"]) == 2
        error = capsys.readouterr().err
        assert error.endswith(": SyntaxError: invalid syntax (bad.py, line 1)\n")
        assert "\\x0a" not in error


class TestWhatAFileNeeds:
    def test_nothing_else(self) -> None:
        text = "import os\nimport torch.nn\ndef f():\n    from torch.utils import data\n"
        assert foreign_imports(text).lines == ["It needs torch and the standard library alone."]

    def test_their_own_package_and_an_installed_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "chatserver_of_a_test").mkdir()
        (tmp_path / "chatserver_of_a_test" / "__init__.py").touch()
        monkeypatch.syspath_prepend(str(tmp_path))
        found = foreign_imports(
            "import chatserver_of_a_test.model\ndef f():\n    import pytest, nowhere_to_be_found\n"
        )
        assert found.folders == (str(tmp_path),)
        assert found.lines == [
            f"It imports chatserver_of_a_test from {tmp_path}, which is put on sys.path below, as pytest had it.",
            "Install what it imports beside torch: nowhere_to_be_found, pytest.",
        ]


class TestAScriptThatDoesNotRun:
    def measure(self, monkeypatch: pytest.MonkeyPatch, ends: list[tuple[str, str]]) -> scripts.ScriptRate:
        left = iter(ends)
        monkeypatch.setattr(scripts, "run_once", lambda path: next(left))
        return scripts.measure("", "mismatch", Rates.below(1.0, 0.5), float("inf"), lambda text: None, 1)

    def test_is_run_three_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        measured = self.measure(monkeypatch, [("error", "ModuleNotFoundError: chatserver")] * 3)
        assert (measured.n, measured.decision, measured.error) == (
            3,
            False,
            "ModuleNotFoundError: chatserver",
        )

    def test_other_errors_are_counted_as_before(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ends = [("error", "a"), ("error", "b"), *[("mismatch", "1 problems")] * 40]
        measured = self.measure(monkeypatch, ends)
        assert measured.error == ""
        assert measured.decision is True


def test_minimise_in_half_a_second() -> None:
    case: Any = None
    search: Any = SimpleNamespace(measure_parent=lambda: Trial("as recorded", case, 0, 0, kept=False))
    options: Any = SimpleNamespace(seconds=0.5)
    with pytest.raises(
        CommandError, match=r"^--seconds=0\.5: not one attempt ended in that time: give more$"
    ):
        minimise._minimise(search, case, 0.0, options)


def test_a_seed_follows_from_a_name_that_the_locale_cannot_read() -> None:
    read_as_ascii = "gööd.py".encode().decode("ascii", "surrogateescape")
    assert seeds.derive(1, read_as_ascii) == seeds.derive(1, "gööd.py")


class TestShippedFiles:
    def test_have_a_name(self) -> None:
        path = shipped_scenarios() / "canary.py"
        assert shipped_file("scenarios/canary.py") == path
        assert shipped_name(path) == "scenarios/canary.py"

    @pytest.mark.parametrize(
        "name",
        ["canary.py", "other/canary.py", "scenarios/../canary.py", "scenarios/none.py", "scenarios/", ""],
    )
    def test_other_texts_name_none(self, name: str) -> None:
        assert shipped_file(name) is None


def test_folders_of_the_rootdir_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "path", [str(tmp_path / "src"), "", "/usr/lib", str(tmp_path / "src"), sys.prefix]
    )
    assert import_folders(tmp_path) == ["src", "."]
