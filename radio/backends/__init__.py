"""The hardware seam: radios, simulated or real."""
