"""The power/noise schedule: how much each round may leak, and the gain and noise that make it so. Pure functions."""
