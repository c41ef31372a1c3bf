"""Run a recorded attempt again, many times: is it the same failure, and how often does it come?"""
