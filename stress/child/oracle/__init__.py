"""The oracle: what is right, how far from it a value may be, and the name of a wrong one."""
