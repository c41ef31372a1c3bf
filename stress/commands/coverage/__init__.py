"""`mps-stress coverage`: which rows of the suite have a scenario, and where it ran."""
