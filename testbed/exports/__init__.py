"""A run's records for tools that others use to look at runs; `series` says what, one module a tool writes it."""
