"""The zoo of faults as the library has it, beside the one that people and `mps-stress power` read."""

from __future__ import annotations

from stress.device.sim.zoo import FAULTS
from tests.sim.on_device.helpers import ops


def check_every_fault_of_the_library_is_in_the_zoo_and_no_other() -> None:
    names = list(ops().fault_names())
    listed = [fault.name for fault in FAULTS]
    for one in (names, listed):
        assert len(set(one)) == len(one), "a name stands there twice"
    only_in_cpp, only_in_python = set(names) - set(listed), set(listed) - set(names)
    assert not only_in_cpp, (
        f"of harness/runtime/faults.h, and unknown to stress/device/sim/zoo.py: {only_in_cpp}"
    )
    assert not only_in_python, (
        f"of stress/device/sim/zoo.py, and unknown to harness/runtime/faults.h: {only_in_python}"
    )
