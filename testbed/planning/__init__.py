"""What a run promises, and how it spends it."""
