"""Real bugs of PyTorch's MPS backend, as the yardstick of the core: each is found in a tree, and silent after its fix.

`bugs.toml` has the list. A fix is a few edits, each of which finds a text and replaces it, in a copy of the tree; of
PyTorch's code the list quotes no more than the lines that change.
"""
