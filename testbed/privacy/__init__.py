"""What a run leaks, what (ε, δ) allows, and what may be claimed about it. Pure functions."""
