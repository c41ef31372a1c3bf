"""`mps-stress sweep`: every operator of torch's own OpInfo database, its sample inputs, from N threads at once."""
