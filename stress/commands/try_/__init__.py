"""`mps-stress try`: a model of yours from several threads, without a file. `stress.check` and `new` write as it does."""
