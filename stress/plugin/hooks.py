"""The pytest plugin: hooks only. Loaded in every pytest run of the environment, so it imports no torch."""

from __future__ import annotations

import pytest

from stress.model.quiet import NUMPY_WARNING
from stress.plugin import option_table
from stress.plugin import options
from stress.plugin.settings import Settings

SETTINGS_KEY = pytest.StashKey[Settings]()


def pytest_addoption(parser: pytest.Parser) -> None:
    option_table.add_options(parser)
    from stress.plugin.ordinary.plugin import add_ini

    add_ini(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from stress.plugin import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "mps_stress(threads=None, iterations=None): run this test from several threads at once; "
        "without threads=N, only if --mps-threads is given.",
    )
    from stress.plugin.ordinary.plugin import register

    # A marked test runs from threads without --mps-threads too, so the ordinary part is always there. All else is
    # imported below this point only: a run that does not want us must not pay for it.
    if not options.is_on(config):
        options.check_off(config)
        register(config, None)
        return
    settings = options.parse(config)
    config.stash[SETTINGS_KEY] = settings
    config.addinivalue_line("filterwarnings", f"ignore:{NUMPY_WARNING}:UserWarning")
    from stress.plugin.session import StressPlugin

    session = StressPlugin(config, settings)
    config.pluginmanager.register(session, "mps-stress-session")
    register(config, settings, session.run.journal)
    from stress.plugin.native_items import SuitePlugin

    config.pluginmanager.register(SuitePlugin(config, settings, session.run), "mps-stress-tsan")
    if config.pluginmanager.hasplugin("xdist"):
        from stress.plugin.session import XdistBridge

        config.pluginmanager.register(XdistBridge(config), "mps-stress-xdist")
