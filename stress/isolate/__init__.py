"""Isolation: child processes that may die in any way, and a parent that never does."""
