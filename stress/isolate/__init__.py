"""Isolation: child processes may die in any way, and the parent survives."""
