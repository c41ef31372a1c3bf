"""`pytest --mps-tsan`: scenarios in Python processes under ThreadSanitizer, with an instrumented simulated device.

Python and torch stay as they are. What is instrumented is the simulated device, whose kernels announce what device
memory they read and write (`harness/torch/announce.h`); a small library, preloaded before the runtime, keeps what every
thread is at (`harness/preload/`).
"""
