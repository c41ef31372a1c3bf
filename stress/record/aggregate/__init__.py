"""Any number of record folders as one set of counts, read in one pass with flat memory.

Attempts that must never be added together are in separate groups: simulated, virtual and real devices, and different
machines, builds of torch and settings. The unit of every count is an attempt. Every table of `compare`, `report`
and `evidence` is made from these counts alone.
"""

from __future__ import annotations

from stress.record.aggregate.cells import Cell
from stress.record.aggregate.cells import Failure
from stress.record.aggregate.folders import AggregateError
from stress.record.aggregate.folders import read_folders
from stress.record.aggregate.groups import DeviceKind
from stress.record.aggregate.groups import Group
from stress.record.aggregate.runs import Aggregate
from stress.record.aggregate.runs import RunInfo

__all__ = ["Aggregate", "AggregateError", "Cell", "DeviceKind", "Failure", "Group", "RunInfo", "read_folders"]
