"""The simulated device: its faults, its build at first use, and the parts that torch lacks. Never real Metal."""
