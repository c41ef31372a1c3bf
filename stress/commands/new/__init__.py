"""`mps-stress new`: a scenario to begin with."""
