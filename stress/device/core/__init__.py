"""A PyTorch tree's own MPS backend, built for Linux over a simulated Metal."""
