"""PyTorch's own test files, isolated, from one thread and from many: what is new since a baseline?"""
