"""The oracle: the right values, their tolerance, and the name of a wrong one."""
