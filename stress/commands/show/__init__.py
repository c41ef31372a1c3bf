"""`mps-stress show`: what was recorded of a run, or of an attempt."""
