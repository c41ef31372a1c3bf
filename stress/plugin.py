"""The pytest plugin: hooks only. Loaded in every pytest run of the environment, so it imports no torch."""

from __future__ import annotations

import pytest

from stress import option_table
from stress import options
from stress.settings import Settings

SETTINGS_KEY = pytest.StashKey[Settings]()


def pytest_addoption(parser: pytest.Parser) -> None:
    option_table.add_options(parser)
    from stress.ordinary.plugin import add_ini

    add_ini(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from stress import hookspecs

    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "mps_stress(threads=None, iterations=None): run this test from several threads at once; "
        "without threads=N only where --mps-threads is given.",
    )
    from stress.ordinary.plugin import register

    if not options.is_on(config):
        options.check_off(config)
        register(config, None)
        return
    settings = options.parse(config)
    config.stash[SETTINGS_KEY] = settings
    from stress.session import StressPlugin

    session = StressPlugin(config, settings)
    config.pluginmanager.register(session, "mps-stress-session")
    register(config, settings, session.run.journal)
    from stress.sanitizer.suite import SuitePlugin

    config.pluginmanager.register(SuitePlugin(config, settings, session.run), "mps-stress-tsan")
    if config.pluginmanager.hasplugin("xdist"):
        from stress.session import XdistBridge

        config.pluginmanager.register(XdistBridge(config), "mps-stress-xdist")
