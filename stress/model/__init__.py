"""Words that both sides of a process boundary share: verdicts, findings, specs, seeds. No torch, no pytest."""
