"""A lab's own scheme, schedule, optimiser, backend and task."""
