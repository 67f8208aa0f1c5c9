"""Zeroth-order arithmetic on one replica of a model."""
