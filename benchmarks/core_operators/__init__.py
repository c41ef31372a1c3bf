"""Which operators of a tree's own core are right, wrong, or end the process."""
