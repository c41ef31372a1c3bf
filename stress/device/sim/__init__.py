"""The simulated device: its faults, its build at first use, and what torch lacks to use it. Never real Metal."""
