"""`mps-stress tsan`: the native suite by itself."""
