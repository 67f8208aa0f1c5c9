"""Zeroth-order scalars and updates, models and tasks; torch and transformers."""
