"""The dispatch key of torch that the simulated device is registered on, and its number."""

from __future__ import annotations

from typing import Any

import torch

_DEVICE_TYPES = {"mps": 13, "privateuseone": 20}
"""c10::DeviceType's numbers, which are part of torch's ABI."""


def ops() -> Any:
    return torch.ops.mps_stress_sim


def device_type_number() -> int:
    return _DEVICE_TYPES[ops().device_type()]
