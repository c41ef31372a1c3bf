"""Read ThreadSanitizer's reports: parse, name and count them. Runs nothing."""
