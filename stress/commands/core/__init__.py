"""`mps-stress core`: a PyTorch tree's own MPS backend on Linux."""
