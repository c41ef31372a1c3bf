"""`mps-stress explain`: say what a text, a crash report or a record is, since when it is known, and what to look at."""
