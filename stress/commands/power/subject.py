"""The subject of a measurement: a fault, its twin, or the device without any fault."""

from __future__ import annotations

from dataclasses import dataclass

from stress.device.sim.settings import ArmedFault
from stress.device.sim.settings import SimSettings
from stress.device.sim.zoo import PROBABILITY_DEFAULT
from stress.device.sim.zoo import Fault


@dataclass(frozen=True)
class Subject:
    """One setting of the simulated device."""

    design: str
    fault: Fault | None = None
    twin: bool = False
    probability: float = PROBABILITY_DEFAULT
    """On the scale of a fault that declares the default: one that declares 0.1 gets ten times this."""

    @property
    def scale(self) -> float:
        return self.probability / PROBABILITY_DEFAULT

    @property
    def label(self) -> str:
        """Return what stands in item names."""
        if self.fault is None:
            return f"none.{self.design}"
        scale = "" if self.scale == 1 else f"@{self.probability:g}"
        return f"{self.fault.name}{'/twin' if self.twin else ''}{scale}"

    @property
    def armed(self) -> ArmedFault | None:
        """Return the switch: the declared probability times the scale, at most 1."""
        if self.fault is None:
            return None
        probability = min(1.0, self.fault.probability * self.scale)
        return ArmedFault(self.fault.name, self.twin, probability, self.fault.window_us)

    @property
    def sim(self) -> SimSettings:
        return SimSettings(design=self.design, faults=(self.armed,) if self.armed is not None else ())

    def record_fields(self) -> dict[str, object]:
        """Return what the records of its attempts carry, so that they can be read back."""
        return {
            "fault": self.fault.name if self.fault is not None else None,
            "twin": self.twin,
            "probability": self.probability,
            "design": self.design,
        }
