"""Comparison of NEW with BASE, per scenario, thread count and class of machine: worse, better, or undecided."""
