"""The native harness: build it under ThreadSanitizer, run its cases with their controls, judge them."""
