"""This repository's own fixtures. The plugin itself is loaded through its entry point, as for any user."""

pytest_plugins = "pytester"
