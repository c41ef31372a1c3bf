"""What a run without arguments collects: the user's own tests and scenarios before the shipped ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from stress.model.shipped import shipped_scenarios
from stress.scenario.variants import SCENARIO_FOLDER

_OPTION = "--mps-threads"


def choose(config: pytest.Config) -> str:
    """Set the arguments of a run that has none; return a line that says what is not collected, or that it is ours, or "".

    What pytest would collect wins where the ini file names it (`testpaths`), and where the ini file or `addopts` turns
    the plugin on: a key in a file must not replace the tests that the command ran before. Local scenarios are added.
    Only `pytest --mps-threads=8`, by itself, runs scenarios alone: the local ones, or the shipped ones where there are none.
    """
    extra = [Path(path) for paths in config.hook.pytest_mps_scenarios(config=config) for path in paths]
    bases = dict.fromkeys((config.invocation_params.dir, config.rootpath))
    local = next((base / SCENARIO_FOLDER for base in bases if (base / SCENARIO_FOLDER).is_dir()), None)
    if config.args_source == pytest.Config.ArgsSource.TESTPATHS:
        given = config.args
        reason = f"testpaths names {', '.join(config.getini('testpaths'))}"
        way_out = f"pytest {_OPTION}=8 -o testpaths= runs them"
    elif not any(one.startswith(_OPTION) for one in config.invocation_params.args):
        given = config.args
        reason = f"{_OPTION} comes from a file or a variable"
        way_out = f"pytest {_OPTION}=8 runs them"
    else:
        folder = local or shipped_scenarios()
        config.args[:] = _distinct([str(folder), *map(str, extra)])
        where = (
            f"the scenarios in {SCENARIO_FOLDER}"
            if local
            else f"the scenarios that come with mps-stress ({folder})"
        )
        other = _other_tests(config)
        if other:
            return f"mps: {where} are collected; {other} not: pytest {_OPTION}=8 . collects all"
        return "" if local else f"mps: {where} are collected"
    own = [local] if local is not None and not _holds(config, given, local) else []
    config.args[:] = _distinct([*given, *map(str, own), *map(str, extra)])
    if local is not None or extra:
        return ""
    return f"mps: the scenarios that come with mps-stress are not collected, because {reason}: {way_out}"


def _other_tests(config: pytest.Config) -> str:
    """Return what pytest alone would probably have found here, with its verb; looks at no folder below `tests`."""
    here = config.invocation_params.dir
    files = [one.name for pattern in config.getini("python_files") for one in sorted(here.glob(pattern))]
    folders = [f"{name}/" for name in ("tests", "test") if (here / name).is_dir()]
    found = [*folders, *files]
    return (
        f"{', '.join(found[:3])}{', ...' if len(found) > 3 else ''} {'is' if len(found) == 1 else 'are'}"
        if found
        else ""
    )


def _holds(config: pytest.Config, arguments: list[str], folder: Path) -> bool:
    base = config.invocation_params.dir
    return any(folder.resolve().is_relative_to((base / one).resolve()) for one in arguments)


def _distinct(arguments: list[str]) -> list[str]:
    return list(dict.fromkeys(arguments))
