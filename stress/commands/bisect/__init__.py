"""Which build brought a failure in, found by halving, with a sequential test at each build."""
