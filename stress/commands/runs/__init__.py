"""`mps-stress runs`: which runs there are."""
