"""Weights that stay in host memory, and pass through the compute device block by block."""
