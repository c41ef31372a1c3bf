"""The devices that scenarios run on: mps, cuda, cpu, and the simulated one in `sim`."""
