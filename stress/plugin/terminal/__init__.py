"""What a person reads: the words of the progress, the failure block, the closing table."""
