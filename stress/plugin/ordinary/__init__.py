"""Ordinary pytest tests from N threads, inside the pytest process. Nothing here imports torch."""

from __future__ import annotations

from stress.plugin.ordinary.plugin import OrdinaryPlugin as OrdinaryPlugin
from stress.plugin.ordinary.plugin import add_ini as add_ini
from stress.plugin.ordinary.plugin import register as register
