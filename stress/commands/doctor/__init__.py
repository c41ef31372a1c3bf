"""Checks of `mps-stress doctor`: can this machine run the framework, and would its results mean anything?

Every line comes from a check and names the way out. What could not be checked is never `ok`. Nothing of this has
been tried on macOS yet: the Mac lines follow Apple's documents and public examples of the tools' text.
"""
