"""pytest's side: hooks, options, items, the run, what the terminal shows, ordinary tests."""
