"""Any number of record folders as one set of counts, read in one pass with flat memory.

What is never added together stands in groups of its own: simulated, virtual and real devices, unlike machines,
unlike builds of torch, unlike settings. The unit of every count is an attempt. Every table of `compare`, `report`
and `evidence` is made from this and from nothing else.
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
