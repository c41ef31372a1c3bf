"""Random sequences of operators: data that is generated, checked, shortened, printed as plain torch code, and run.

A sequence is a list of texts such as "a linear 24": the lane ("a" for even threads, "b" for odd ones), the operator,
and its number where it has one. What is printed is what runs: `stress.scenario.sequences.program`.
"""
