"""Exit statuses that all commands share."""

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
