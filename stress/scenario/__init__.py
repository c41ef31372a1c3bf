"""The author's API: scenario classes, the running step, and helpers for streams, memory and exact values."""
