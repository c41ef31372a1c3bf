"""How commands are made: the same three functions in each, an option that several have declared once."""

from __future__ import annotations

import ast
import importlib
import typing
from pathlib import Path
from typing import Any

import pytest

from stress.commands import shared_options
from stress.commands.cli import COMMANDS
from stress.commands.cli import folder_of
from stress.isolate.device_choice import DeviceError
from stress.record import RecordError

FOLDER = Path(shared_options.__file__).parent


@pytest.mark.parametrize("command", COMMANDS)
def test_options_are_declared_parsed_into_a_frozen_dataclass_and_run(command: str) -> None:
    options = importlib.import_module(f"stress.commands.{folder_of(command)}.options")
    made: Any = typing.get_type_hints(options.parse)["return"]
    assert made.__dataclass_params__.frozen
    run = importlib.import_module(f"stress.commands.{folder_of(command)}.command").run
    assert typing.get_type_hints(run) == {"options": made, "return": int}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_declares_a_shared_option_itself(command: str) -> None:
    shared = {flag for row in shared_options.OPTIONS.values() for flag in row.flags}
    tree = ast.parse((FOLDER / folder_of(command) / "options.py").read_text())
    own = {
        argument.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "add_argument"
        for argument in call.args
        if isinstance(argument, ast.Constant)
    }
    assert not own & shared


class TestErrorsNameOptionsAsTheReaderTypesThem:
    def test_of_a_device(self) -> None:
        error = DeviceError("no such {thing}", option="device=mps", way_out="; {device}=cpu works")
        assert str(error) == "--device=mps: no such {thing}; --device=cpu works"
        assert error.told("--mps-") == "--mps-device=mps: no such {thing}; --mps-device=cpu works"

    def test_of_records(self) -> None:
        error = RecordError(Path("runs"), "cannot write", way_out=", or give {results}=DIR")
        assert str(error) == "records in runs: cannot write, or give --results=DIR"
        assert error.told("--mps-") == "records in runs: cannot write, or give --mps-results=DIR"
