"""A scenario as plain code: what it needs is taken from its own source, and threads are started as anybody would."""
