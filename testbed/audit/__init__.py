"""An attack on a run's observations, set beside its claim."""
