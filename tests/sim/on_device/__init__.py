"""Checks that run on the simulated device: functions named `check_*`, one child process per file (`test_on_device.py`)."""
