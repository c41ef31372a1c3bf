"""The terminal report: the words of the progress, the failure block, the closing table."""
