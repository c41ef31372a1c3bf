"""Ordinary pytest tests in child processes: the parent collects and judges, a child's own pytest session runs them."""
