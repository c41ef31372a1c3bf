"""Code under ThreadSanitizer: toolchain, builds, runs, controls, reports and verdicts."""
