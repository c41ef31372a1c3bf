"""`torch.mps.compile_shader` of the simulated device: the kernels of `stress.shaders`, by name. Imports torch."""

from __future__ import annotations

from typing import Any

import torch

from stress.scenario import shaders


class SimulatedShaderLibrary:
    """A library whose kernels are attributes, as that of `torch.mps.compile_shader`."""

    def __init__(self, source: str) -> None:
        """Raise `RuntimeError` for a source that is anything but kernels of `stress.shaders`: nothing here compiles Metal's language."""
        try:
            self._names = shaders.names_in(source)
        except ValueError as error:
            raise RuntimeError(
                f"Failed to create metal library, error: the simulated device has no compiler: {error}; "
                "--mps-device=core compiles any kernel"
            ) from None
        self._library = torch.classes.mps_stress_sim.ShaderLibrary(self._names)

    def __getattr__(self, name: str) -> SimulatedShader:
        return SimulatedShader(self._library.shader(name))

    def __dir__(self) -> list[str]:
        return list(self._names)


class SimulatedShader:
    """One kernel; called with its tensors and numbers, it runs once for each element of the first tensor."""

    def __init__(self, shader: Any) -> None:
        self._shader = shader

    def __call__(self, *arguments: torch.Tensor | float) -> None:
        tensors = [one for one in arguments if isinstance(one, torch.Tensor)]
        self._shader.launch(tensors, [float(one) for one in arguments if not isinstance(one, torch.Tensor)])
