"""The entry points of mps-stress. A name of its own: `stress`, the package beside this file, may be a project's name, too.

pytest imports this file in every run of the environment. Where something else is called `stress`, the plugin steps aside:
it does nothing, and where it is asked for it names the file. Imports nothing of the package before that is known.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PACKAGE = "stress"
HOOKS = "mps-stress-hooks"
EXIT_USAGE = 2
"""Of the command; pytest's is 4."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Register the plugin's hooks, or those of a plugin that steps aside."""
    config: pytest.Config | None = pluginmanager.get_plugin("pytestconfig")
    hidden_by = hiding_file(folders_to_come(config) if config is not None else iter(()))
    if hidden_by is not None:
        parser.addini("mps_threads", "mps-stress cannot run here", default=None)
        pluginmanager.register(Aside(hidden_by), HOOKS)
        return
    from stress.plugin import hooks

    if not pluginmanager.is_registered(hooks):  # an older install in the same environment names them itself
        pluginmanager.register(hooks, HOOKS)


def folders_to_come(config: pytest.Config) -> Iterator[Path]:
    """Yield folders that pytest puts on `sys.path` later: plugins are imported before conftest files and tests are."""
    yield from config.getini("pythonpath")
    known = config.known_args_namespace
    if getattr(known, "importmode", "prepend") != "prepend":
        return
    start = config.invocation_params.dir
    given = [start / str(one).partition("::")[0] for one in known.file_or_dir]
    named = [config.rootpath / one for one in (*config.getini("testpaths"), "tests", "test")]
    for one in (config.rootpath, start, *given, *named):
        folder = one.parent if one.is_file() else one
        has_tests = any(next(folder.glob(name), None) for name in ("conftest.py", "test_*.py", "*_test.py"))
        if has_tests and not (folder / "__init__.py").is_file():
            yield folder


def hiding_file(folders: Iterator[Path]) -> Path | None:
    """Return the file that `import stress` finds in place of our package, now or when `folders` are on `sys.path`."""
    for folder in folders:
        for one in (folder / PACKAGE / "__init__.py", folder / f"{PACKAGE}.py"):
            if one.is_file() and _is_foreign(one):
                return one
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except ValueError:  # a stand-in in sys.modules
        return None
    found = Path(spec.origin) if spec is not None and spec.origin is not None else None
    return found if found is not None and _is_foreign(found) else None


def _is_foreign(found: Path) -> bool:
    """Whether it is not our package, which has this file beside it; a second checkout has one, too."""
    return found.name != "__init__.py" or not (found.parent.parent / Path(__file__).name).is_file()


def sentence(hidden_by: Path) -> str:
    return (
        f"mps-stress cannot run here: {hidden_by} is imported as `{PACKAGE}`, which is the name of its package, too, and "
        "scenarios import it: rename that one"
    )


class Aside:
    """The plugin where another `stress` hides its package. A test that asks for threads must not run without them."""

    def __init__(self, hidden_by: Path) -> None:
        self.hidden_by = hidden_by

    def pytest_load_initial_conftests(self, early_config: pytest.Config, args: list[str]) -> None:
        option = next((one.partition("=")[0] for one in args if one.startswith("--mps-")), None)
        if option is None and early_config.getini("mps_threads"):
            option = "ini option mps_threads"
        if option is not None:
            self.refuse(option)

    def pytest_configure(self, config: pytest.Config) -> None:
        config.addinivalue_line("markers", f"mps_stress: {sentence(self.hidden_by)}")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        marked = next((one for one in items if one.get_closest_marker("mps_stress")), None)
        if marked is not None:
            self.refuse(f"{marked.nodeid} is marked mps_stress")

    def refuse(self, asked: str) -> None:
        import pytest

        raise pytest.UsageError(f"{asked}: {sentence(self.hidden_by)}")


def main() -> int:
    """Run the command `mps-stress` and return its exit status."""
    hidden_by = hiding_file(iter(()))
    if hidden_by is not None:
        print(sentence(hidden_by), file=sys.stderr)
        return EXIT_USAGE
    from stress.commands.cli import main as command

    return command()
