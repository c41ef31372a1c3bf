"""The vocabulary that parent and child processes share: verdicts, findings, specs, seeds. No torch, no pytest."""
