"""Did NEW get worse than BASE, better, or can it not be told? Per scenario, thread count and class of machine."""
