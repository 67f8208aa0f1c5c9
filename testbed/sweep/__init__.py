"""Many runs as one: a plan from a file, a run directory for each, workers that may die at any time."""
