"""What the terminal shows, and what it takes: consoles, a live run, whole outputs, Ctrl-C."""
