"""What `mps-stress doctor` looks at: can this machine run the framework, and would its results mean anything?

Every line is found by looking, and says what to do about it. What could not be looked at is not `ok`. On macOS
nothing of this has been tried yet: the Mac lines follow Apple's documents and public examples of the tools' text.
"""
