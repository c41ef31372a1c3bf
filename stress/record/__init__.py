"""The record of a run: JSON Lines that survive crashes of everything around them."""

from __future__ import annotations

from stress.record.folder import RecordError
from stress.record.folder import RunFolder
from stress.record.folder import run_id
from stress.record.machine import host_environment
from stress.record.reader import Problem
from stress.record.reader import RunReader
from stress.record.reader import Unfinished
from stress.record.reader import read_run
from stress.record.schema import SCHEMA_VERSION
from stress.record.schema import side_name_error
from stress.record.writer import RecordWriter

__all__ = [
    "SCHEMA_VERSION",
    "Problem",
    "RecordError",
    "RecordWriter",
    "RunFolder",
    "RunReader",
    "Unfinished",
    "host_environment",
    "read_run",
    "run_id",
    "side_name_error",
]
